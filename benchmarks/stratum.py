"""What a share costs on its way through Stratum, without its sockets: from bytes to a verdict, and the pool's answer read.

A job of a full block (12 merkle branches, a coinbase of a pool that pays in it), shares as WhatsMiners and Bitaxes write
them with rolled versions, hashed in batches by the engine that wins the trial. `seen extranonce2`: the machine stays with
one and rolls version and nonce; `new extranonce2`: every share has its own, and its merkle root is 25 hashes of its own.
Times are CPU time, so that neighbours on the machine count little. Run: `python benchmarks/run.py stratum`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from fleet.work.sha256d import DIGEST_BYTES, Engine, chosen
from fleet.work.stratum import (
    Candidate,
    JobBook,
    Lines,
    Malformed,
    Notify,
    Request,
    Response,
    SetDifficulty,
    Submit,
    judge,
    read_pool,
    read_request,
    write_response,
)

SHARES: Final = 12_800
BATCH: Final = 64
ROUNDS: Final = 5
LEAST_SHARES_S: Final = 35_000.0
"""More than the 25,000 that the tap has to take on one core, so that there is room for its sockets."""
JOB: Final = Notify(
    job_id="65d28cbf00000003",
    previous=bytes(range(32)),
    coinbase1=bytes(60),
    coinbase2=bytes(200),
    branches=tuple(bytes([number]) * 32 for number in range(12)),
    version=0x2000_0000,
    nbits=0x1703_4219,
    time_s=0x6553_F100,
    clean=True,
)


def lines(extranonces: int) -> list[bytes]:
    """Lines of shares, with so many extranonces among them, none like another."""
    dice = Random(7)
    return [
        b'{"params": ["account.m30s40x16", "65d28cbf00000003", "%016x", "6553f1%02x", "%08x", "%08x"], "id": %d, "method": '
        b'"mining.submit"}\n' % (number % extranonces, number % 60, dice.getrandbits(32), number % 256 << 13, number)
        for number in range(SHARES)
    ]


def opened() -> JobBook:
    """A session that takes every hash for a share."""
    book = JobBook()
    book.subscribed(b"\1\2\3\4", 8)
    book.granted(0x1FFF_E000)
    book.take(SetDifficulty(2.0**-40), 0.0)
    book.take(JOB, 0.0)
    return book


@contextmanager
def timed(into: dict[str, float], name: str) -> Iterator[None]:
    """Microseconds of CPU per share of what is done inside."""
    began_s = time.process_time()
    yield
    into[name] = (time.process_time() - began_s) / SHARES * 1e6


def walked(sent: Sequence[bytes], engine: Engine) -> dict[str, float]:
    """What each step costs, in microseconds per share; `all` is their sum, taken in one go."""
    costs: dict[str, float] = {}
    cut, book = Lines(16_384), opened()
    with timed(costs, "lines"):
        whole = [line for piece in sent for line in cut.feed(piece)]
    with timed(costs, "read"):
        requests = [read_request(line) for line in whole]
    submits = [request for request in requests if isinstance(request, Submit)]
    with timed(costs, "prepare"):
        prepared = [book.prepare(submit, 1.0) for submit in submits]
    candidates = [candidate for candidate in prepared if isinstance(candidate, Candidate)]
    assert len(candidates) == SHARES
    with timed(costs, "hash"):
        digests = [
            digest for start in range(0, SHARES, BATCH) for digest in hashed(candidates[start : start + BATCH], engine)
        ]
    with timed(costs, "judge"):
        verdicts = [judge(candidate, digest) for candidate, digest in zip(candidates, digests, strict=True)]
    assert all(verdict.flaw is None for verdict in verdicts)
    answers = [write_response(Response(submit.id, result=True)).rstrip() for submit in submits]
    with timed(costs, "answer"):
        for answer in answers:
            read_pool(answer)
    costs["all"] = at_once(sent, engine)
    return costs


def hashed(candidates: Sequence[Candidate], engine: Engine) -> list[bytes]:
    """The hashes of some shares, in one call."""
    digests = engine.digests(b"".join([candidate.header for candidate in candidates]))
    return [digests[start : start + DIGEST_BYTES] for start in range(0, len(digests), DIGEST_BYTES)]


def at_once(sent: Sequence[bytes], engine: Engine) -> float:
    """Microseconds of CPU per share of the whole way, share by share, batches hashed as they fill."""
    cut, book = Lines(16_384), opened()
    waiting: list[Candidate] = []
    answer = write_response(Response(7, result=True)).rstrip()
    good = 0
    began_s = time.process_time()
    for piece in sent:
        for line in cut.feed(piece):
            request = read_request(line)
            candidate = prepared_of(book, request)
            if candidate is not None:
                waiting.append(candidate)
        if len(waiting) >= BATCH:
            for share, digest in zip(waiting, hashed(waiting, engine), strict=True):
                good += judge(share, digest).flaw is None
                read_pool(answer)
            waiting.clear()
    passed_s = time.process_time() - began_s
    assert good == SHARES
    return passed_s / SHARES * 1e6


def prepared_of(book: JobBook, request: Request | Malformed) -> Candidate | None:
    """A share to hash, where the request is one."""
    if not isinstance(request, Submit):
        return None
    candidate = book.prepare(request, 1.0)
    return candidate if isinstance(candidate, Candidate) else None


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 when a core takes more shares than the tap has to."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(argv)
    timer: Callable[[], float] = time.perf_counter
    engine = chosen(timer).engine
    figures: dict[str, dict[str, float]] = {}
    for name, extranonces in (("seen extranonce2", 1), ("new extranonce2", SHARES)):
        sent = lines(extranonces)
        rounds = [walked(sent, engine) for _ in range(ROUNDS)]
        figures[name] = {step: median(costs[step] for costs in rounds) for step in rounds[0]}
    steps = list(next(iter(figures.values())))
    print(
        f"us of CPU per share, hashed {BATCH} at a time by {engine.name}; median of {ROUNDS} rounds of {SHARES} shares"
    )
    print(f"{'':18}" + "".join(f"{step:>9}" for step in steps) + f"{'shares/s':>12}")
    for name, costs in figures.items():
        print(f"{name:18}" + "".join(f"{costs[step]:9.2f}" for step in steps) + f"{1e6 / costs['all']:12,.0f}")
    if options.json is not None:
        options.json.write_text(json.dumps({"engine": engine.name, "us": figures}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(1e6 / costs["all"] >= LEAST_SHARES_S for costs in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
