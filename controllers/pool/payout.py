"""Whom jobs pay: does a job's coinbase pay any of the site's addresses?"""

from __future__ import annotations

from fleet.work.stratum import Job, script_of


class Payouts:
    """The scripts that a job has to pay one of; none given: every job is ours."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._scripts = frozenset(map(script_of, addresses))

    def foreign(self, job: Job) -> bool:
        """Does a job pay none of our addresses? A coinbase that cannot be read pays nobody."""
        if not self._scripts:
            return False
        coinbase = job.coinbase()
        return coinbase is None or not coinbase.paid(self._scripts)
