"""SHA-256d of block headers: everything that the rest of hashwatt needs of it, under one name.

The header and what an engine promises are in `fleet.work.header`, the function itself in `fleet.work.sha256`, the engines
and the choice among them in `fleet.work.engines`.
"""

from __future__ import annotations

from fleet.work.engines.choice import (
    BUDGET_S,
    GENESIS_HEAD,
    GENESIS_NONCE,
    Choice,
    Found,
    Missing,
    Trial,
    chosen,
    engines,
    found,
    proven,
)
from fleet.work.engines.reference import HashlibEngine
from fleet.work.header import (
    DIGEST_BYTES,
    HEAD_BYTES,
    HEADER_BYTES,
    MOST_NONCES,
    Engine,
    Hit,
    checked_headers,
    checked_scan,
    header,
    meets,
    sha256d,
)

__all__ = [
    "BUDGET_S",
    "DIGEST_BYTES",
    "GENESIS_HEAD",
    "GENESIS_NONCE",
    "HEADER_BYTES",
    "HEAD_BYTES",
    "MOST_NONCES",
    "Choice",
    "Engine",
    "Found",
    "HashlibEngine",
    "Hit",
    "Missing",
    "Trial",
    "checked_headers",
    "checked_scan",
    "chosen",
    "engines",
    "found",
    "header",
    "meets",
    "proven",
    "sha256d",
]
