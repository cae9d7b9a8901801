"""Who is at the other end: which machine of the roster a connection is, and whose work it does.

A machine is known by the address that it connects from, where that address is one machine's alone; else by its worker's
name, whose part after the last "." is its id. The account, before the first ".", says whose the work is.
"""

from __future__ import annotations

from collections import Counter

from controllers.pool.ledger import STRANGER
from fleet.machine import Roster


class Identity:
    """Rows of the roster by address and by worker; whose accounts are ours (none given: every one)."""

    def __init__(self, roster: Roster, accounts: tuple[str, ...] = ()) -> None:
        times = Counter(machine.host for machine in roster.machines)
        self._by_address = {m.host: row for row, m in enumerate(roster.machines) if times[m.host] == 1}
        self._by_id = dict(roster.index)
        self._accounts = frozenset(accounts)
        self._names = tuple(machine.id for machine in roster.machines)

    def name(self, row: int) -> str:
        """The id of a machine."""
        return self._names[row]

    def of_address(self, address: str) -> int:
        """The machine at an address; STRANGER where it is none, or several machines'."""
        return self._by_address.get(address.removeprefix("::ffff:"), STRANGER)

    def of_worker(self, user: str) -> int:
        """The machine that a worker is named after; STRANGER where it is none."""
        return self._by_id.get(user.rpartition(".")[2], STRANGER)

    def ours(self, user: str) -> bool:
        """Does a worker work for one of our accounts?"""
        return not self._accounts or user.partition(".")[0] in self._accounts
