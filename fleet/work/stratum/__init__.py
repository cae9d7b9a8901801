"""Stratum V1 without I/O: lines in, messages and verdicts out.

What may live here: the codec of lines, the jobs that a pool gave, and the judgment of a share against its job. No
socket, no clock: whoever has a connection hands over bytes and times.
"""

from __future__ import annotations

from fleet.work.stratum.addresses import Network, address_of, script_of
from fleet.work.stratum.book import JobBook, Limits
from fleet.work.stratum.coinbase import Coinbase, Output, read_coinbase
from fleet.work.stratum.jobs import Job
from fleet.work.stratum.lines import Lines, TooLong
from fleet.work.stratum.messages import (
    Authorize,
    Configure,
    Error,
    ExtranonceSubscribe,
    GetVersion,
    Id,
    Malformed,
    MultiVersion,
    Notify,
    Other,
    Ping,
    Pong,
    PoolMessage,
    Reconnect,
    Request,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetGoal,
    SetVersionMask,
    ShowMessage,
    Submit,
    Subscribe,
    SuggestDifficulty,
    SuggestTarget,
)
from fleet.work.stratum.notices import read_pool, write_pool
from fleet.work.stratum.replies import (
    Configured,
    Subscription,
    asked_mask,
    cause,
    grant,
    read_configured,
    read_subscription,
    refusal,
    write_response,
    write_subscription,
)
from fleet.work.stratum.requests import read_request, write_request
from fleet.work.stratum.seen import Memory
from fleet.work.stratum.shares import Candidate, Judged, Quarrel, judge, quarrel

__all__ = [
    "Authorize",
    "Candidate",
    "Coinbase",
    "Configure",
    "Configured",
    "Error",
    "ExtranonceSubscribe",
    "GetVersion",
    "Id",
    "Job",
    "JobBook",
    "Judged",
    "Limits",
    "Lines",
    "Malformed",
    "Memory",
    "MultiVersion",
    "Network",
    "Notify",
    "Other",
    "Output",
    "Ping",
    "Pong",
    "PoolMessage",
    "Quarrel",
    "Reconnect",
    "Request",
    "Response",
    "SetDifficulty",
    "SetExtranonce",
    "SetGoal",
    "SetVersionMask",
    "ShowMessage",
    "Submit",
    "Subscribe",
    "Subscription",
    "SuggestDifficulty",
    "SuggestTarget",
    "TooLong",
    "address_of",
    "asked_mask",
    "cause",
    "grant",
    "judge",
    "quarrel",
    "read_coinbase",
    "read_configured",
    "read_pool",
    "read_request",
    "read_subscription",
    "refusal",
    "script_of",
    "write_pool",
    "write_request",
    "write_response",
    "write_subscription",
]
