"""One exchange with one machine, over TCP-JSON or HTTP/1.1: the only sockets of fleet.

Every exchange has one deadline in real time for all of it (connecting included) and one limit on what may come back,
and ends the moment the reply is whole, however the far side closes. Whatever goes wrong is one of fleet.driver's
errors: nothing came, or the connection broke, or time ran out (Unreachable); the machine said no (Refused); what came
is not the protocol (Garbled). A message names the address, the exchange and what came, and never a secret.
"""

from __future__ import annotations

from fleet.links.digest import Challenge, Credentials
from fleet.links.exchange import LIMIT_BYTES, READ_DEADLINE_S, WRITE_DEADLINE_S, Endpoint
from fleet.links.tcp import ask_framed, ask_text, decoded
from fleet.links.web import Web

__all__ = [
    "LIMIT_BYTES",
    "READ_DEADLINE_S",
    "WRITE_DEADLINE_S",
    "Challenge",
    "Credentials",
    "Endpoint",
    "Web",
    "ask_framed",
    "ask_text",
    "decoded",
]
