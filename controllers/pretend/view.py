"""The demo's live terminal view: what the daemon's last record says, a few times a second.

On a terminal it is a board: the site's sums, the day's prices and power so far, one mark per machine on its feeder, and the
last events. Without one it is a line every so many seconds, so that a log reads well too.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from controllers.pretend.site import ZONE, Day
from controllers.terminal import err, number
from policies.site_sums import STATES, machine_columns, site_sums

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from controllers.daemon import Daemon

_BLOCKS = "▁▂▃▄▅▆▇█"
_LABEL = 10
_MARKS_PER_LINE = 64
_EVENTS = 6
_SLOT_S = 1_800.0
_DEAR = 100.0
"""$/MWh from which a price is shown red."""
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
        self._drawn_w: dict[int, float] = {}
        """By half hour of the day: what the site drew when it was last shown."""

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
        """The site as a board, 80 columns wide or more."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        title = f"hashwatt · {self._name}"
        loop = self._daemon.loop
        if loop is None or loop.last is None:
            return Panel("asking every machine for the first time …", title=title)
        record, judgment = loop.last, self._daemon.site.judgment
        columns = machine_columns(judgment, record)
        sums = site_sums(judgment, record, columns)
        self._drawn_w[self._slot(sums.at_s)] = sums.power_w
        head = Text()
        head.append(f"{_local(sums.at_s)} {ZONE}, {self._speed:,.0f}x\n", "bold")
        head.append(f"power {number(sums.power_usd_mwh, 2)} $/MWh, the site breaks even at ")
        head.append(
            f"{number(sums.break_even_usd_mwh, 2)}; hashprice {number(sums.hashprice_usd_phs_day, 2)} $/PH/day\n"
        )
        head.append(f"{sums.power_w / 1e3:,.0f} kW, {sums.hashrate_ths / 1e3:.2f} PH/s, ")
        head.append(f"{number(sums.margin_usd_h, 2)} $/h\n", "green" if (sums.margin_usd_h or 0) >= 0 else "red")
        legend = Text("  ").join(Text(f"{mark} {name}", colour) for name, (colour, mark) in _LOOKS.items())
        floor = self._floor(columns.state)
        return Panel(
            Group(head, *self._charts(sums.at_s), Text(), *floor, legend, Text(), *self._events()), title=title
        )

    def _charts(self, now_s: float) -> list[Text]:
        """The day so far in half hours: the dearest price of each on a scale of logarithms, and what the site drew."""
        from rich.text import Text

        price, power = Text(f"{'$/MWh':<{_LABEL}}"), Text(f"{'kW':<{_LABEL}}")
        most_w = max(1.0, *self._drawn_w.values())
        for slot in range(self._slot(min(now_s, self._day.end_s - 1.0)) + 1):
            dearest = max(self._prices_of(slot), default=0.0)
            # 1 $/MWh is the lowest mark, 5,000 the highest: a spike does not flatten the rest.
            price.append(_mark(np.log(max(dearest, 1.0)) / np.log(5_000.0)), "red" if dearest > _DEAR else "cyan")
            power.append(_mark(self._drawn_w[slot] / most_w) if slot in self._drawn_w else " ", "green")
        hours = Text(" " * _LABEL + "".join(f"{hour:02d}    " for hour in range(0, 24, 3)), "dim")
        return [price, power, hours]

    def _slot(self, at_s: float) -> int:
        return int((at_s - self._day.start_s) // _SLOT_S)

    def _prices_of(self, slot: int) -> list[float]:
        step_s = self._day.power.step_s
        first_s = self._day.start_s + slot * _SLOT_S
        times = [first_s + k * step_s for k in range(max(round(_SLOT_S / step_s), 1))]
        return [self._day.power_usd_mwh(at_s) for at_s in times if at_s < self._day.end_s]

    def _floor(self, state: np.ndarray) -> list[Text]:
        """One mark per machine, by feeder; a long feeder goes on in the next line."""
        from rich.text import Text

        roster, feeder = self._daemon.site.roster, self._daemon.site.judgment.feeder
        lines = []
        for node in sorted(set(feeder.tolist())):
            rows = np.flatnonzero(feeder == node)
            for first in range(0, len(rows), _MARKS_PER_LINE):
                name = (roster.tree.names[node] or "site") if first == 0 else ""
                line = Text(f"{name[: _LABEL - 1]:<{_LABEL}}", no_wrap=True)
                for row in rows[first : first + _MARKS_PER_LINE]:
                    colour, mark = _LOOKS[STATES[int(state[row])]]
                    line.append(mark, colour)
                lines.append(line)
        return lines

    def _events(self) -> list[Text]:
        """The last events, one line each, always as many lines."""
        from rich.text import Text

        last = list(self._daemon.events.last)[-_EVENTS:]
        texts = [f"{_local(event.at_s)[-8:]} {event.kind}: {event.text}" for event in last]
        texts += [""] * (_EVENTS - len(texts))
        return [Text(text, "dim", no_wrap=True, overflow="ellipsis") for text in texts]


def _mark(level: float) -> str:
    """A bar of a height between 0 and 1."""
    return _BLOCKS[round(min(max(level, 0.0), 1.0) * (len(_BLOCKS) - 1))]


def _local(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M:%S}"
