"""Readings: what one and the same share stands for, where firmware and pools do not agree on it.

The rule comes first, then what somebody does instead. It matters rarely: version bits are read alike by all as long as
the job's own version has no bits in the mask, and an extranonce2 mostly has the size that was asked for. Whoever judges
a share takes the reading whose hash is good; each of them takes as much work as the others.
"""

from __future__ import annotations


def version_readings(version: int, bits: int, mask: int) -> tuple[int, ...]:
    """The versions that a job's version and submitted version bits may stand for.

    BIP 310 puts the bits in the place of the job's own; ckpool adds them (stratifier.c, share_diff: `|=`); ESP-Miner,
    public-pool and btcpool flip them (asic_result_task.c, MiningJob.ts, StratumServerBitcoin.cc: `^`).
    """
    rolled = bits & mask
    rule = (version & ~mask) | rolled
    if not version & mask:
        return (rule,)
    return tuple(dict.fromkeys((rule, version | rolled, version ^ rolled)))


def full_version(bits: int, version: int, mask: int) -> bool:
    """Are these version bits a whole version that differs from the job's in the mask's bits alone?

    Antminers after mining.multi_version submit it so (bmminer, cgminer.c, submit_work_thread: `swab32(work->version)`).
    """
    return bits & ~mask == version & ~mask


def fitted_extranonces(extranonce2: bytes, size_bytes: int) -> tuple[bytes, ...]:
    """An extranonce2 in the size that was asked for.

    Of one that is too long ckpool takes the first bytes, and fills up one that is too short with zeros behind it
    (stratifier.c, parse_submit); btcpool reads it as a number (StratumMinerBitcoin.cc, handleRequest_Submit): the last
    bytes, and zeros before it.
    """
    if len(extranonce2) == size_bytes:
        return (extranonce2,)
    first = extranonce2[:size_bytes].ljust(size_bytes, b"\0")
    last = extranonce2[max(len(extranonce2) - size_bytes, 0) :].rjust(size_bytes, b"\0")
    return tuple(dict.fromkeys((first, last)))
