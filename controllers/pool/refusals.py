"""What a machine is told of a share that is not good: the codes that pools use (20 to 25, after slush's first pool)."""

from __future__ import annotations

from typing import Final

from fleet.work.counted import Flaw
from fleet.work.stratum import Response
from fleet.work.stratum.messages import Error, Id

_CODES: Final = {
    Flaw.LOW: (23, "Low difficulty share"),
    Flaw.DUPLICATE: (22, "Duplicate share"),
    Flaw.STALE: (21, "Stale share"),
    Flaw.UNKNOWN_JOB: (21, "Job not found"),
    Flaw.EXTRANONCE: (20, "Extranonce2 of the wrong size"),
    Flaw.TIME: (20, "Time out of range"),
    Flaw.VERSION: (20, "Version bits beyond the mask"),
    Flaw.FOREIGN: (24, "Unauthorized worker"),
    Flaw.MALFORMED: (20, "Malformed"),
    Flaw.UNAUTHORIZED: (24, "Unauthorized worker"),
}


def answer_to(request_id: Id, flaw: Flaw | None) -> Response:
    """The answer to a share."""
    if flaw is None:
        return Response(request_id, True)
    code, text = _CODES.get(flaw, (20, "Other"))
    return Response(request_id, False, Error(code, text))


def gone(request_id: Id) -> Response:
    """The answer to a request whose pool went away before it answered."""
    return Response(request_id, False, Error(21, "Pool connection lost"))
