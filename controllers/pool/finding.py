"""A found block, from the share that it is: everything that its pool, or whoever comes after, needs of it."""

from __future__ import annotations

from typing import cast

from controllers.pool.blocks import Block
from controllers.pool.verifier import Share
from fleet.work.stratum import Job, Subscription


def block_of(share: Share, *, machine: str, pool: str, subscription: Subscription | None, prefix: bytes = b"") -> Block:
    """The block of a judged share, as it is kept; `pool` is its address, `subscription` the session's with it.

    Aggregated, a machine's extranonce1 is the pool's and a `prefix`, which is the beginning of the pool's extranonce2.
    """
    judged = share.judged
    assert judged is not None
    job, submit = cast("Job", share.candidate.job), share.submit
    # what was hashed: the job's own extranonce1, which the pool may have replaced since, and an extranonce2 that fits
    ours = job.extranonce1[: len(job.extranonce1) - len(prefix)]
    extranonce = job.extranonce1 + judged.extranonce2
    flaw = judged.flaw
    return Block(
        hash=share.digest[::-1].hex(),
        at_s=share.at_s,
        machine=machine,
        worker=submit.worker,
        pool=pool,
        session=None if subscription is None else subscription.session,
        job_id=submit.job_id,
        extranonce1=ours.hex(),
        extranonce2=extranonce[len(ours) :].hex(),
        time_s=submit.time_s,
        nonce=submit.nonce,
        version_bits=submit.version_bits,
        header=judged.header.hex(),
        coinbase=(job.notify.coinbase1 + extranonce + job.notify.coinbase2).hex(),
        branches=tuple(branch.hex() for branch in job.notify.branches),
        flaw=None if flaw is None else flaw.name.lower(),
    )
