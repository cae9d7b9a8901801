"""Local times of a file as UTC seconds, with the hour that autumn repeats and the one that spring leaves out.

A time with its own offset is taken as it says. A time without one is read in a zone: a time that spring skips is
refused, and one that autumn repeats is the first of the two when it comes first and the second when it comes again.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

_FORMS = "a time such as 2021-01-08T06:00Z, or a day such as 2021-01-08"


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name such as "America/Chicago".

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"time zone {name!r}, expected an IANA name such as 'America/Chicago' or 'UTC'") from error


class LocalTimes:
    """Reads the times of one file in their order; it remembers which repeated hours it has seen.

    `zone` None refuses every time without an offset of its own. A day alone is the UTC midnight that begins it.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._seen: Counter[datetime] = Counter()

    def seconds(self, text: str) -> float:
        """UTC seconds of a time in ISO 8601.

        Raises:
            ValueError: the message is what was expected instead.
        """
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(_FORMS) from None
        if moment.tzinfo is not None:
            return moment.timestamp()
        if len(text) <= 10 or self._zone is UTC:
            return moment.replace(tzinfo=UTC).timestamp()
        if self._zone is None:
            raise ValueError("a time with its zone, such as 2021-01-08T06:00Z, or a time_zone for the file")
        return self._in_zone(moment, self._zone)

    def _in_zone(self, moment: datetime, zone: tzinfo) -> float:
        """The first or second passing of a local time, or its only one."""
        local = moment.replace(tzinfo=zone)
        again = local.replace(fold=1)
        if local.utcoffset() == again.utcoffset():
            return local.timestamp()
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
            raise ValueError(f"a time that exists in {zone}: the clocks go forward over it")
        self._seen[moment] += 1
        if self._seen[moment] > 2:
            raise ValueError(f"at most two rows of this time, which {zone} passes twice")
        return (local if self._seen[moment] == 1 else again).timestamp()

    def unpaired(self) -> datetime | None:
        """A time that the zone passes twice and the file has once: nobody can say which it was. None if all is well."""
        return next((moment for moment, times in self._seen.items() if times == 1), None)
