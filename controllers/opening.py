"""Opening a site: its clock and its drivers, the same for the daemon, the guard and a single look."""

from __future__ import annotations

from controllers.clock import Clock
from controllers.config import Site
from fleet.driver import Driver
from fleet.drivers import open_driver


def open_drivers(site: Site) -> list[Driver]:
    """A driver for every machine of the roster, with its credentials; nothing is sent yet.

    Raises:
        SiteError: a secret is not there.
    """
    polling = site.file.polling
    return [
        open_driver(
            machine,
            site.credentials(row),
            read_deadline_s=polling.read_deadline_s,
            write_deadline_s=polling.write_deadline_s,
        )
        for row, machine in enumerate(site.roster.machines)
    ]


def clock_of(site: Site) -> Clock:
    """The site's clock: the wall's, but for a simulated site."""
    simulated = site.file.clock
    return Clock() if simulated is None else Clock.joining(simulated.speed, simulated.start_s, simulated.anchor_real_s)
