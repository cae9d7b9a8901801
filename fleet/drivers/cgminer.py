"""What the cgminer family of APIs has in common: the status line, and the tables of summary and pools.

LuxOS and stock Antminers answer with a STATUS array beside their tables. S and I are success and information, W a
warning, E and F are refusals (cgminer API-README, "STATUS").
"""

from __future__ import annotations

from typing import Any

from fleet.driver import Garbled, Refused
from fleet.drivers.values import Table, count, flag, number, tables, text
from fleet.reading import Pool


def sections(reply: Any, where: str) -> Table:
    """A reply that says of itself that it succeeded.

    Raises:
        Garbled: it is not a reply of this family.
        Refused: its status is E or F; the message is the machine's.
    """
    if not isinstance(reply, dict):
        raise Garbled(f"{where}: expected a JSON object, got {type(reply).__name__}")
    status = tables(reply.get("STATUS"))
    if not status:
        raise Garbled(f"{where}: a reply without STATUS")
    if (letter := status[0].get("STATUS")) in ("E", "F"):
        raise Refused(
            f"{where}: {text(status[0].get('Msg')) or 'no reason given'} (code {count(status[0].get('Code'))})"
        )
    if letter not in ("S", "I", "W"):
        raise Garbled(f"{where}: a reply whose status is none of S, I, W, E, F")
    return reply


def first(reply: Table, section: str) -> Table:
    """The first row of a section; empty when there is none."""
    rows = tables(reply.get(section), 1)
    return rows[0] if rows else {}


def pools_of(reply: Table) -> tuple[Pool, ...]:
    """The rows of POOLS that have an address, by priority."""
    pools = [
        Pool(
            url=url,
            user=text(row.get("User")) or "",
            priority=count(row.get("Priority")) or 0,
            active=flag(row.get("Stratum Active")),
            accepted=count(row.get("Accepted")),
            rejected=count(row.get("Rejected")),
        )
        for row in tables(reply.get("POOLS"))
        if (url := text(row.get("URL"))) is not None
    ]
    return tuple(sorted(pools, key=lambda pool: pool.priority))


def share_difficulty(reply: Table) -> float | None:
    """The difficulty at which the active pool asks for shares; None when the firmware does not say."""
    for row in tables(reply.get("POOLS")):
        if flag(row.get("Stratum Active")):
            for name in ("Stratum Difficulty", "Work Difficulty", "Last Share Difficulty"):
                if found := number(row.get(name), 0.0, 1e15):
                    return found
    return None
