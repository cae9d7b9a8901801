"""`/metrics` over HTTP: the last record, in Prometheus' text format.

A record is rendered at most once, when it is asked for, in a thread beside the loop; a scrape between two ticks gets the same
text. The small families go through the library's registry, the per-machine ones through `exposition`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from controllers.publish.machine_families import MachineFamilies
from controllers.publish.settings import MetricsSettings
from controllers.publish.site_families import Internals, Rendering, SiteFamilies, Ticks
from fleet.reading import Reading
from policies.record import Record
from policies.site_sums import site_sums
from policies.tick import Judgment

if TYPE_CHECKING:
    from aiohttp import web

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLOSE_S = 2.0


class MetricsServer:
    """Serves `/metrics` of one site.

    Args:
        settings: where to listen.
        judgment: the site's.
        internals: the daemon's own counts, asked for when a record is rendered.
        say: tells an event.
        retry_s: how long it waits where it cannot listen.
    """

    def __init__(
        self,
        settings: MetricsSettings,
        judgment: Judgment,
        internals: Callable[[], Mapping[str, Any]],
        say: Callable[[str, str], None] = lambda _kind, _text: None,
        *,
        retry_s: float = 10.0,
    ) -> None:
        from prometheus_client import CollectorRegistry, Info, ProcessCollector

        self._settings, self._judgment, self._internals = settings, judgment, internals
        self._say, self._retry_s = say, retry_s
        self._registry = CollectorRegistry()
        self._site = SiteFamilies()
        self._registry.register(self._site)
        ProcessCollector(registry=self._registry)
        Info("hashwatt_build", "The version that runs.", registry=self._registry).info({"version": _version()})
        self._machines = None if settings.detail == "site" else MachineFamilies(judgment)
        self._ticks = Ticks()
        self._last: Record | None = None
        self._rendered: tuple[int, bytes] | None = None
        self._one_at_a_time = asyncio.Lock()
        self.port: int | None = None
        """Where it listens, once it does."""

    def show(self, record: Record) -> None:
        """Remember the record that the next scrape renders."""
        self._last = record
        self._ticks.add(record.tick_s)

    async def run(self) -> None:
        """Serve until cancelled; an address that cannot be listened on is told once, and tried again."""
        told = ""
        while True:
            try:
                await self._serve()
            except OSError as error:
                text = f"{self._settings.host}:{self._settings.port}: {error.strerror or error}"
                if text != told:
                    self._say("metrics not served", text)
                told = text
            await asyncio.sleep(self._retry_s)

    async def _serve(self) -> None:
        """Serve until cancelled.

        Raises:
            OSError: the address cannot be listened on.
        """
        from aiohttp import web

        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        app.router.add_get("/", self._front)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port).start()
            self.port = int(runner.addresses[0][1])
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _front(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text="hashwatt: see /metrics\n")

    async def _scrape(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        if self._last is None:
            return web.Response(status=503, text="no tick yet\n")
        return web.Response(body=await self.text(), headers={"Content-Type": CONTENT_TYPE})

    async def text(self) -> bytes:
        """The exposition of the last record."""
        async with self._one_at_a_time:
            record = self._last
            assert record is not None
            if self._rendered is None or self._rendered[0] != record.number:
                told = self._internals()
                full = dict(told["full"]) if self._settings.detail == "parts" else {}
                ticks = replace(self._ticks, within=list(self._ticks.within))
                rendered = await asyncio.to_thread(self._render, record, Internals.of(told), ticks, full)
                self._rendered = (record.number, rendered)
            return self._rendered[1]

    def _render(self, record: Record, internals: Internals, ticks: Ticks, full: Mapping[int, Reading]) -> bytes:
        from prometheus_client import generate_latest

        self._site.shown = Rendering(self._judgment, record, site_sums(self._judgment, record), internals, ticks)
        site = generate_latest(self._registry)
        return site if self._machines is None else site + self._machines.text(record, full).encode()


def _version() -> str:
    """Ours, as installed."""
    try:
        return version("hashwatt")
    except PackageNotFoundError:
        return "not installed"
