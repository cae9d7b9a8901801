"""The demo's live terminal view: what the daemon's last record says, a few times a second.

On a terminal it is a board: the price and break-even of the day so far, one letter per machine on its feeder, the site's
sums and the last events. Without one it is a line every so many seconds, so that a log reads well too.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from controllers.pretend_site import ZONE, Day
from controllers.terminal import err, number
from policies.site_sums import STATES, machine_columns, site_sums

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from controllers.daemon import Daemon

_BLOCKS = " ▁▂▃▄▅▆▇█"
_PERIOD_S = 0.25
_PLAIN_PERIOD_S = 6.0
_LOOKS = {
    "hashing": ("green", "█"),
    "starting": ("yellow", "▲"),
    "sleeping": ("blue", "·"),
    "faulted": ("red", "!"),
    "unknown": ("magenta", "?"),
    "silent": ("red", "x"),
}


class LiveView:
    """Shows a running daemon until cancelled."""

    def __init__(self, daemon: Daemon, day: Day, name: str, speed: float, *, plain: bool) -> None:
        self._daemon, self._day, self._name, self._speed, self._plain = daemon, day, name, speed, plain
        self._prices: list[tuple[float, float]] = []

    async def run(self, end_s: float) -> None:
        """Show until `end_s` or cancelled."""
        if self._plain:
            await self._lines(end_s)
            return
        from rich.live import Live

        with Live(console=err(), auto_refresh=False, screen=False) as live:
            while self._daemon.clock.now() < end_s:
                live.update(self.board(), refresh=True)
                await asyncio.sleep(_PERIOD_S)

    async def _lines(self, end_s: float) -> None:
        console = err()
        while self._daemon.clock.now() < end_s:
            console.print(self.line(), markup=False)
            await asyncio.sleep(_PLAIN_PERIOD_S)

    def line(self) -> str:
        """The site in one line."""
        loop = self._daemon.loop
        if loop is None or loop.last is None:
            return "starting"
        sums = site_sums(self._daemon.site.judgment, loop.last)
        states = " ".join(f"{count} {name}" for name, count in sums.machines_by_state.items() if count)
        return (
            f"{_local(sums.at_s)}  power {number(sums.power_usd_mwh, 0):>5} $/MWh  {sums.power_w / 1e3:5.0f} kW  "
            f"{sums.hashrate_ths / 1e3:5.2f} PH/s  {number(sums.margin_usd_h, 2):>7} $/h  {states}"
        )

    def board(self) -> RenderableType:
        """The site as a board."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        loop = self._daemon.loop
        if loop is None or loop.last is None:
            return Panel("asking every machine for the first time …", title=f"hashwatt · {self._name}")
        record, judgment = loop.last, self._daemon.site.judgment
        columns = machine_columns(judgment, record)
        sums = site_sums(judgment, record, columns)
        head = Text()
        head.append(f"{_local(sums.at_s)} {ZONE}, {self._speed:,.0f}x\n", "bold")
        head.append(
            f"power {number(sums.power_usd_mwh, 2)} $/MWh   hashprice {number(sums.hashprice_usd_phs_day, 2)} $/PH/day   "
        )
        head.append(f"site breaks even at {number(sums.break_even_usd_mwh, 2)} $/MWh\n")
        head.append(f"{sums.power_w / 1e3:,.0f} kW, {sums.hashrate_ths / 1e3:.2f} PH/s, ")
        head.append(f"{number(sums.margin_usd_h, 2)} $/h\n", "green" if (sums.margin_usd_h or 0) >= 0 else "red")
        head.append_text(self._chart(sums.at_s))
        floor = self._floor(columns.state)
        events = Text(
            "\n".join(f"{_local(e.at_s)[-8:]} {e.kind}: {e.text}"[:150] for e in list(self._daemon.events.last)[-6:]),
            "dim",
        )
        legend = Text("  ").join(Text(f"{mark} {name}", colour) for name, (colour, mark) in _LOOKS.items())
        return Panel(Group(head, floor, legend, events), title=f"hashwatt · {self._name}")

    def _chart(self, now_s: float) -> Text:
        """The day's prices so far, on a scale of roots: a spike does not flatten the rest."""
        from rich.text import Text

        text = Text("day   ")
        step_s, at_s = self._day.power.step_s, self._day.start_s
        top = max(float(np.nanmax(self._day.power.value[self._rows()])), 1.0) ** 0.5
        while at_s <= now_s and at_s < self._day.end_s:
            price = self._day.power_usd_mwh(at_s)
            level = round(max(price, 0.0) ** 0.5 / top * (len(_BLOCKS) - 1))
            text.append(_BLOCKS[level], "red" if price > 100 else "cyan")
            at_s += step_s
        return text

    def _rows(self) -> slice:
        first = self._day.power.row_at(self._day.start_s) or 0
        return slice(first, first + round((self._day.end_s - self._day.start_s) / self._day.power.step_s))

    def _floor(self, state: np.ndarray) -> RenderableType:
        """One mark per machine, by feeder."""
        from rich.text import Text

        roster, feeder = self._daemon.site.roster, self._daemon.site.judgment.feeder
        text = Text()
        for node in sorted(set(feeder.tolist())):
            text.append(f"{roster.tree.names[node] or 'site':<10}")
            for row in np.flatnonzero(feeder == node):
                colour, mark = _LOOKS[STATES[int(state[row])]]
                text.append(mark, colour)
            text.append("\n")
        return text


def _local(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M:%S}"
