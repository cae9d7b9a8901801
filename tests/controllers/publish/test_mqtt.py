"""MQTT over a real mosquitto: what a subscriber sees, and what becomes of an order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from controllers.control import order_of
from controllers.publish.mqtt import MqttPublisher, level
from controllers.publish.settings import MqttSettings
from controllers.publish.states import MachineState, SiteState
from fleet.machine import Roster
from fleet.order import Order
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.controllers.publish.conftest import Broker, eventually, listening, make_broker, make_site
from tests.policies.conftest import T0, Bench, machine

pytestmark = pytest.mark.requires("mosquitto")

HOSTILE = 'm+#%"\\é'
BASE = "hashwatt/yard"


class Yard:
    """A site of two machines driven by hand, with its publisher; `taken` are the orders that came in."""

    def __init__(self, port: int, directory: Path, **settings: Any) -> None:
        machines = [machine("m0"), machine(HOSTILE, "feeder-a")]
        judgment = Judgment(Roster.of(machines), IndexTariff(), switching=Threshold(), live=np.ones(2, np.bool_))
        self.bench = Bench(judgment)
        self.said: list[tuple[str, str]] = []
        self.taken: list[Order] = []
        self.take: Callable[[Mapping[str, Any]], Awaitable[Order]] = self._take
        self.publisher = MqttPublisher(
            MqttSettings(port=port, **{"orders": True, "period_s": 0.2, **settings}),
            "yard",
            judgment,
            directory=directory,
            take_order=self.take_order,
            say=lambda kind, text: self.said.append((kind, text)),
        )

    async def take_order(self, request: Mapping[str, Any]) -> Order:
        return await self.take(request)

    async def _take(self, request: Mapping[str, Any]) -> Order:
        order = order_of(request, self.bench.judgment.roster, T0)
        self.taken.append(order)
        return order

    def tick(self, **columns: Any) -> None:
        """A tick that is shown."""
        full = {"power_w": [3_200.0, 3_100.0], "hashrate_ths": [130.0, 129.0], "measured": [True, True], **columns}
        self.publisher.show(self.bench.tick(10.0, **full))

    def count(self, kind: str) -> int:
        """How often a kind of event was told."""
        return sum(1 for said, _ in self.said if said == kind)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """The publisher, running."""
        task = asyncio.create_task(self.publisher.run())
        try:
            await eventually(lambda: self.publisher.connected, f"connected: {self.said}")
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def run(story: Coroutine[Any, Any, None]) -> None:
    """A story, within a deadline."""

    async def bounded() -> None:
        async with asyncio.timeout(40):
            await story

    asyncio.run(bounded())


async def send(port: int, payload: bytes, *, retain: bool = False, properties: Any = None) -> None:
    """One order."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.publish(f"{BASE}/order", payload, qos=1, retain=retain, properties=properties)


def test_a_later_subscriber_sees_the_site_and_each_machine(broker: Broker, tmp_path: Path) -> None:
    """Without retained state a dashboard that starts after hashwatt shows nothing."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path)
        yard.tick()
        machines = [f"{BASE}/machine/m0", f"{BASE}/machine/{level(HOSTILE)}"]
        async with yard.running(), listening(broker.port) as first:
            await eventually(lambda: all(t in first.last for t in machines), "all machines told")
            async with listening(broker.port) as later:
                await eventually(lambda: {*machines, f"{BASE}/state"} <= set(later.last), "retained")
                assert all(message.retain for message in later.heard)
                assert later.last[f"{BASE}/availability"] == "online"
                site = SiteState.model_validate_json(json.dumps(later.last[f"{BASE}/state"]))
                assert (site.site, site.sums.machines, site.sums.power_w) == ("yard", 2, 6_300.0)
                state = MachineState.model_validate(later.last[machines[1]])
                assert (state.machine, state.place, state.state) == (HOSTILE, "feeder-a", "hashing")
                assert (state.power_w, state.operating_point, state.chip_c) == (3_100.0, "high", None)

    run(story())


def test_only_what_changed_is_told_and_a_change_of_point_at_once(broker: Broker, tmp_path: Path) -> None:
    """A site of thousands would flood its broker with readings that say nothing new, or tell a stop only minutes later."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path, period_s=30)
        yard.tick()
        async with yard.running(), listening(broker.port, f"{BASE}/machine/#") as ear:
            await eventually(lambda: len(ear.heard) >= 2, "told once")
            ear.heard.clear()
            yard.tick(power_w=[3_200.3, 3_150.0])
            yard.bench.mode = ["sleep", "high"]
            yard.tick(power_w=[25.0, 3_150.0], hashrate_ths=[0.0, 129.0])
            await eventually(lambda: ear.last[f"{BASE}/machine/m0"]["state"] == "sleeping", "told at once", 3)
            assert [str(message.topic) for message in ear.heard] == [f"{BASE}/machine/m0"]

    run(story())


def test_an_order_is_taken_and_answered(broker: Broker, tmp_path: Path) -> None:
    """An order over MQTT has to go through the same door as the command line's, and say who it came from."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path)
        yard.tick()
        async with yard.running(), listening(broker.port, f"{BASE}/order/result") as ear:
            await send(broker.port, b'{"kind":"curtail","scope":"feeder-a","for_s":600,"who":"scada","why":"test"}')
            answer = await eventually(lambda: ear.last.get(f"{BASE}/order/result"), "answered")
            assert answer["ok"]
            assert answer["order"]["who"] == "mqtt:scada"
            assert [(order.kind.value, order.scope) for order in yard.taken] == [("curtail", "feeder-a")]

    run(story())


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"off!", "expected a JSON object"),
        (b"[1]", "expected a JSON object"),
        (b"[" * 16_000, "expected a JSON object"),
        (b"\xff\x00", "expected a JSON object"),
        (b"9" * 16_384, "expected a JSON object"),
        (b" " * 20_000, "expected at most 16384"),
        (b'{"kind":"curtail","for_s":60}', "who is None"),
        (b'{"kind":"curtail","for_s":60,"who":["x"]}', "who is"),
        (b'{"kind":"explode","for_s":60,"who":"x"}', "kind is 'explode'"),
        (b'{"kind":"curtail","who":"x"}', "every order expires"),
        (b'{"kind":"curtail","for_s":NaN,"who":"x"}', "for_s is nan"),
        (b'{"kind":"curtail","for_s":60,"who":"x","scope":"nowhere"}', "scope is 'nowhere'"),
        (b'{"kind":"curtail","for_s":60,"who":"x","password":"y"}', "password"),
    ],
)
def test_a_garbage_order_is_refused_clearly(broker: Broker, tmp_path: Path, payload: bytes, expected: str) -> None:
    """Whatever somebody sends, nothing is commanded, the reason comes back, and the line stays up for the next order."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path)
        yard.tick()
        async with yard.running() as task, listening(broker.port, f"{BASE}/order/result") as ear:
            await send(broker.port, payload)
            answer = await eventually(lambda: ear.last.get(f"{BASE}/order/result"), "answered")
            assert not answer["ok"]
            assert expected in answer["error"]
            await send(broker.port, b'{"kind":"hold","for_s":600,"who":"scada"}')
            await eventually(lambda: yard.taken, "the next one is taken")
            assert len(yard.taken) == 1
            assert yard.count("broker lost") == 0
            assert not task.done()

    run(story())


@pytest.mark.parametrize(
    ("topic", "answered_on"),
    [
        ("scada/replies/7", "scada/replies/7"),
        (f"{BASE}/state", f"{BASE}/order/result"),
        (f"{BASE}/order", f"{BASE}/order/result"),
        ("", f"{BASE}/order/result"),
    ],
)
def test_the_answer_goes_where_it_was_asked_for(broker: Broker, tmp_path: Path, topic: str, answered_on: str) -> None:
    """Two senders could not tell their answers apart; and no answer may pose as our own state."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path)
        about = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        about.CorrelationData = b"\x00\x07"
        if topic:
            about.ResponseTopic = topic
        async with yard.running(), listening(broker.port) as ear:
            await send(broker.port, b'{"kind":"hold","for_s":600,"who":"scada"}', properties=about)
            await eventually(lambda: answered_on in ear.last, "answered")
            [answer] = [message for message in ear.heard if str(message.topic) == answered_on]
            assert getattr(answer.properties, "CorrelationData", None) == b"\x00\x07"
            assert ear.last[answered_on]["ok"]

    run(story())


def test_a_retained_order_is_never_taken(broker: Broker, tmp_path: Path) -> None:
    """A retained curtailment would put the site to sleep again at every reconnect."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path)
        order = b'{"kind":"curtail","for_s":600,"who":"scada"}'
        await send(broker.port, order, retain=True)
        async with yard.running(), listening(broker.port, f"{BASE}/order/result") as ear:
            await send(broker.port, b'{"kind":"hold","for_s":600,"who":"scada","id":"plain"}')
            await eventually(lambda: ear.last.get(f"{BASE}/order/result"), "the plain one is answered")
            ear.last.clear()
            await send(broker.port, order, retain=True)
            answer = await eventually(lambda: ear.last.get(f"{BASE}/order/result"), "answered")
            assert not answer["ok"]
            assert "retained" in answer["error"]
        assert [order.id for order in yard.taken] == ["plain"]

    run(story())


def test_a_bug_in_taking_orders_costs_one_answer(broker: Broker, tmp_path: Path) -> None:
    """A fault of ours in one order must not end the line, or the daemon with it."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path)

        async def broken(request: Mapping[str, Any]) -> Order:
            yard.take = yard._take
            raise ZeroDivisionError

        yard.take = broken
        async with yard.running(), listening(broker.port, f"{BASE}/order/result") as ear:
            await send(broker.port, b'{"kind":"hold","for_s":600,"who":"scada"}')
            assert "internal error" in (await eventually(lambda: ear.last.get(f"{BASE}/order/result"), "told"))["error"]
            await send(broker.port, b'{"kind":"hold","for_s":600,"who":"scada"}')
            await eventually(lambda: yard.taken, "the next one is taken")

    run(story())


def test_a_broker_that_restarts_is_told_everything_again(broker: Broker, tmp_path: Path) -> None:
    """A broker that forgot its retained state would show nothing until the next change; and a lost line is said once."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path)
        yard.tick()
        async with yard.running():
            await asyncio.to_thread(broker.end)
            await eventually(lambda: yard.count("broker lost") == 1, "the loss is told")
            yard.tick()
            await asyncio.to_thread(broker.start)
            await eventually(lambda: yard.count("broker well") == 2, "the return is told")
            async with listening(broker.port) as ear:
                await eventually(lambda: f"{BASE}/machine/m0" in ear.last and f"{BASE}/state" in ear.last, "told again")
                assert ear.last[f"{BASE}/availability"] == "online"
        assert yard.count("broker lost") == 1
        async with listening(broker.port) as ear:
            await eventually(lambda: ear.last.get(f"{BASE}/availability") == "offline", "an orderly end says so")

    run(story())


def test_a_broker_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    """Showing records must return at once and grow nothing while the broker is away."""

    async def story() -> None:
        yard = Yard(make_broker(tmp_path).port, tmp_path)
        task = asyncio.create_task(yard.publisher.run())
        for _ in range(50):
            yard.tick()
        await eventually(lambda: yard.count("broker lost") == 1, "told")
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert yard.count("broker lost") == 1

    run(story())


def test_name_and_password_come_from_a_file_and_stay_there(tmp_path: Path) -> None:
    """A broker with accounts has to be usable, and its password may stand in no event or error."""
    made = make_broker(tmp_path, f"allow_anonymous false\npassword_file {tmp_path / 'accounts'}\n")
    # "s3cret-pass" as mosquitto keeps it (PBKDF2-SHA512), made for this test.
    (tmp_path / "accounts").write_text(_account("yard", "s3cret-pass"))
    (tmp_path / "accounts").chmod(0o600)

    async def story() -> None:
        (tmp_path / "password").write_text("wrong-pass\n")
        yard = Yard(made.port, tmp_path, username="yard", password_file="password")
        yard.tick()
        task = asyncio.create_task(yard.publisher.run())
        await eventually(lambda: yard.count("broker lost") == 1, "refused")
        (tmp_path / "password").write_text("s3cret-pass\n")
        await eventually(lambda: yard.publisher.connected, "accepted once the file is right")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert "pass" not in " ".join(text for _, text in yard.said).replace("password", "")

    try:
        made.start()
        run(story())
    finally:
        made.end()


def _account(name: str, password: str) -> str:
    """A line of mosquitto's password file."""
    import base64
    import hashlib

    salt = b"0123456789ab"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{name}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def test_the_daemon_takes_orders_and_leaves_a_last_will(broker: Broker, tmp_path: Path, net: int) -> None:
    """The whole way: a real daemon's state, an order that puts real (pretend) machines to sleep, and a kill -9 that shows."""
    site = make_site(tmp_path, net)
    site.add(mqtt={"port": broker.port, "orders": True, "period_s": 0.2})
    site.daemon.start()
    base = "hashwatt/home"

    async def story() -> None:
        async with listening(broker.port, f"{base}/#") as ear:

            def states() -> list[str]:
                return [state["state"] for topic, state in ear.last.items() if "/machine/" in topic]

            await eventually(lambda: len(states()) == 3 and "silent" not in states(), f"told: {site.daemon.said}")
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                order = {"kind": "curtail", "for_s": 7_200, "who": "grid", "why": "test", "rank": "emergency"}
                await client.publish(f"{base}/order", json.dumps(order), qos=1)
            await eventually(lambda: f"{base}/order/result" in ear.last, f"answered: {site.daemon.said}")
            assert ear.last[f"{base}/order/result"]["ok"]
            await eventually(lambda: set(states()) == {"sleeping"}, f"asleep: {states()}")
            await eventually(lambda: ear.last[f"{base}/state"]["orders"], "the order is shown")
            assert ear.last[f"{base}/state"]["orders"][0]["who"] == "mqtt:grid"
            await asyncio.to_thread(site.daemon.end, signal.SIGKILL)
            await eventually(lambda: ear.last[f"{base}/availability"] == "offline", "the last will")

    try:
        run(story())
    finally:
        site.daemon.end(signal.SIGKILL)
        site.world.end()


def test_it_ends_whenever_it_is_told_to(broker: Broker, tmp_path: Path) -> None:
    """A cancellation that is lost between two answers of the broker would keep the daemon from ever stopping."""

    async def story() -> None:
        for attempt in range(60):
            yard = Yard(broker.port, tmp_path)
            yard.tick()
            task = asyncio.create_task(yard.publisher.run())
            if attempt % 2:
                await eventually(partial(getattr, yard.publisher, "connected"), "connected")
            await asyncio.sleep(attempt * 0.0005)
            task.cancel()
            _, pending = await asyncio.wait({task}, timeout=5)
            assert not pending, f"attempt {attempt}: {task}"

    run(story())


def test_orders_that_are_not_taken_are_not_even_asked_for(broker: Broker, tmp_path: Path) -> None:
    """With orders = false nobody on the broker may command, and nothing answers."""

    async def story() -> None:
        yard = Yard(broker.port, tmp_path, orders=False)
        yard.tick()
        async with yard.running(), listening(broker.port) as ear:
            await send(broker.port, b'{"kind":"hold","for_s":600,"who":"scada"}')
            await eventually(lambda: f"{BASE}/order" in ear.last, "sent")
            yard.tick()
            await eventually(lambda: f"{BASE}/state" in ear.last, "state goes on")
            assert not yard.taken
            assert f"{BASE}/order/result" not in ear.last

    run(story())
