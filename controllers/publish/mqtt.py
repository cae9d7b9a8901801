"""MQTT: retained state of the site and its machines out, orders in, over an MQTT 5 broker with aiomqtt.

There is no queue of states: whenever the broker is ready, what differs from what it was told last is written from the last
record, at once where a state or an operating point changed and else at most every `period_s`. An order is judged by the same
door as the command line's; one that the broker kept (retained) is never taken, so none is replayed when the line comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controllers.books import TooManyOrders
from controllers.control import OrderError
from controllers.publish.settings import MqttSettings, SecretMissing
from controllers.publish.states import MachineStates, OrderState, Told, site_state
from fleet.columns import Ints
from fleet.order import Order
from policies.record import Record
from policies.tick import Judgment

if TYPE_CHECKING:
    import aiomqtt

KEEPALIVE_S = 15
"""A broker that hears nothing for one and a half times this says "offline" for us."""
_BACK_OFF_S = (0.5, 60.0)
_STEADY_S = 30.0
"""A connection that stood so long begins the back-off anew."""
_SITE_EVERY_S, _BREATH_S = 1.0, 0.1
_AGAIN_S = 3_600.0
"""What does not change is told again after this, so that the broker's copy does not expire."""
_EXPIRES_S = 86_400
_AT_ONCE = 100
_DEADLINE_S = 10.0
_LAST_WORD_S = 2.0
_ORDERS_WAITING_MOST = 100
_ORDER_BYTES_MOST = 16_384
_QOS = 1
_LOG = logging.getLogger("hashwatt.mqtt")


class MqttPublisher:
    """One site on one broker.

    Args:
        settings: which broker, and what may be done there.
        name: the site's name.
        judgment: the site's.
        directory: what the settings' files are relative to.
        take_order: takes an order in, as the command line's; raises OrderError, TooManyOrders or OSError where it cannot.
        say: tells an event.
    """

    def __init__(
        self,
        settings: MqttSettings,
        name: str,
        judgment: Judgment,
        *,
        directory: Path,
        take_order: Callable[[Mapping[str, Any]], Awaitable[Order]],
        say: Callable[[str, str], None],
    ) -> None:
        self._settings, self._name, self._judgment, self._directory = settings, name, judgment, directory
        self._take_order, self._say = take_order, say
        self.base = f"{settings.topic}/{name}"
        """What every topic begins with."""
        self.connected = False
        self._last: Record | None = None
        self._new = asyncio.Event()
        self._lost = False
        self._machine_topics = [f"{self.base}/machine/{level(m.id)}" for m in judgment.roster.machines]

    def show(self, record: Record) -> None:
        """Remember the record that is told next."""
        self._last = record
        self._new.set()

    async def run(self) -> None:
        """Keep the line up until cancelled."""
        import aiomqtt

        loop, wait_s = asyncio.get_running_loop(), _BACK_OFF_S[0]
        while True:
            began_s = loop.time()
            try:
                await self._connection()
                why = "the line ended"
            except (aiomqtt.MqttError, SecretMissing, OSError) as error:
                why = str(error) or type(error).__name__
            except Exception as error:  # noqa: BLE001 - what is shown must not stop what is controlled
                first = _first(error)
                why = str(first) or type(first).__name__
                if not isinstance(first, aiomqtt.MqttError):
                    _LOG.error("a bug in the MQTT publisher; it connects anew", exc_info=error)
            _heed_cancellation()
            self._is_connected(up=False, why=why)
            wait_s = _BACK_OFF_S[0] if loop.time() - began_s > _STEADY_S else min(2 * wait_s, _BACK_OFF_S[1])
            await asyncio.sleep(wait_s)

    async def _connection(self) -> None:
        """One connection, until it is lost (raises) or we are cancelled (says "offline" first)."""
        import aiomqtt

        client = await self._client()
        async with _line(client):
            try:
                async with asyncio.TaskGroup() as group:
                    if self._settings.orders:
                        await self._subscribe(client)
                        group.create_task(self._take_orders(client), name="mqtt orders")
                    else:
                        group.create_task(self._listen(client), name="mqtt line")
                    await self._publish(client, "availability", b"online", expires=False)
                    self._is_connected(up=True)
                    group.create_task(self._tell(client), name="mqtt state")
                    # Before Python 3.13 a group that fails while its end is awaited leaves us counted as cancelled.
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                client.timeout = _LAST_WORD_S
                with contextlib.suppress(aiomqtt.MqttError):
                    await self._publish(client, "availability", b"offline", expires=False)
                raise

    async def _client(self) -> aiomqtt.Client:
        """A client with its last will; secrets and certificates are read now."""
        import aiomqtt

        settings = self._settings
        client = aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.username,
            password=await asyncio.to_thread(settings.password, self._directory),
            tls_context=await asyncio.to_thread(settings.tls_context, self._directory),
            # Always the same: a broker that still holds a dead line of ours ends it now, and not in our name later.
            identifier=f"hashwatt-{self.base}",
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            will=aiomqtt.Will(f"{self.base}/availability", b"offline", _QOS, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=_DEADLINE_S,
            max_queued_incoming_messages=_ORDERS_WAITING_MOST,
            max_queued_outgoing_messages=4 * _AT_ONCE,
            properties=_properties(
                "CONNECT", MaximumPacketSize=2 * _ORDER_BYTES_MOST, ReceiveMaximum=_ORDERS_WAITING_MOST
            ),
            logger=_LOG,
        )
        client.pending_calls_threshold = 4 * _AT_ONCE
        return client

    def _is_connected(self, *, up: bool, why: str = "") -> None:
        """Say once when the broker is lost, and once when it is there."""
        where = f"{self._settings.host}:{self._settings.port}"
        if up:
            self._say("broker well", where)
        elif self.connected or not self._lost:
            self._say("broker lost", f"{where}: {why}")
        self.connected, self._lost = up, not up

    # ------------------------------------------------------------------------------------------------------ state out

    async def _tell(self, client: aiomqtt.Client) -> None:
        """Tell the broker, which may have forgotten everything, what is; from then on what changed."""
        loop, told = asyncio.get_running_loop(), Told(len(self._judgment.roster))
        site: tuple[int, float] = (-1, float("-inf"))
        states: MachineStates | None = None
        while True:
            self._new.clear()
            record = self._last
            if record is None:
                await self._new.wait()
                continue
            if record.number != site[0] and loop.time() - site[1] >= _SITE_EVERY_S:
                site = (record.number, loop.time())
                await self._publish(client, "state", _site_json(self._name, self._judgment, record))
            if states is None or states.record is not record:
                states = MachineStates(self._judgment, record)
            due = told.due(states, loop.time(), self._settings.period_s, _AGAIN_S)
            some = due[:_AT_ONCE]
            await self._publish_machines(client, states, some)
            told.note(states, some, loop.time())
            if len(due) > len(some):
                continue
            await asyncio.sleep(_BREATH_S)
            pause_s = min(self._settings.period_s, _SITE_EVERY_S)
            try:
                async with asyncio.timeout(pause_s):
                    await self._new.wait()
            except TimeoutError:
                pass

    async def _publish_machines(self, client: aiomqtt.Client, states: MachineStates, rows: Ints) -> None:
        """Some machines' states, side by side."""
        async with asyncio.TaskGroup() as group:
            for row, payload in zip(rows.tolist(), states.written(rows), strict=True):
                group.create_task(self._publish_to(client, self._machine_topics[row], payload))

    async def _publish(self, client: aiomqtt.Client, below: str, payload: bytes, *, expires: bool = True) -> None:
        await self._publish_to(client, f"{self.base}/{below}", payload, expires=expires)

    async def _publish_to(self, client: aiomqtt.Client, topic: str, payload: bytes, *, expires: bool = True) -> None:
        """One retained message."""
        about = _properties("PUBLISH", MessageExpiryInterval=_EXPIRES_S) if expires else None
        await client.publish(topic, payload, qos=_QOS, retain=True, properties=about)
        _heed_cancellation()

    # ------------------------------------------------------------------------------------------------------ orders in

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        """To orders; what the broker kept is not asked for, and what it is to keep is marked.

        Raises:
            MqttError: the broker does not allow it.
        """
        import aiomqtt
        from paho.mqtt.subscribeoptions import SubscribeOptions

        options = SubscribeOptions(qos=_QOS, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        granted = await client.subscribe(f"{self.base}/order", options=options)
        _heed_cancellation()
        codes = [getattr(code, "value", code) for code in granted]
        if any(code >= 0x80 for code in codes):
            raise aiomqtt.MqttError(
                f"the broker refused the subscription to {self.base}/order, expected its ACL to allow it"
            )

    async def _listen(self, client: aiomqtt.Client) -> None:
        """Notice that the line is lost."""
        async for _ in client.messages:
            pass

    async def _take_orders(self, client: aiomqtt.Client) -> None:
        """One after another, each answered."""
        async for message in client.messages:
            answer = await self._answer(bytes(message.payload or b""), retained=message.retain)
            topic, about = self._reply_to(message)
            await client.publish(topic, json.dumps(answer).encode(), qos=_QOS, properties=about)
            _heed_cancellation()

    async def _answer(self, payload: bytes, *, retained: bool) -> dict[str, Any]:
        """Take an order in; what came of it."""
        try:
            return {
                "ok": True,
                "order": OrderState.of(await self._take_order(_asked(payload, retained=retained))).model_dump(
                    mode="json"
                ),
            }
        except (OrderError, TooManyOrders, OSError) as error:
            text = str(error.args[0]) if len(error.args) == 1 else str(error)
            self._say("order refused", f"mqtt: {text[:300]}")
            return {"ok": False, "error": text}
        except Exception:  # noqa: BLE001 - whoever asked is answered, and the line stays up
            _LOG.exception("a bug in taking an order")
            return {"ok": False, "error": "an internal error; the daemon's log has it"}

    def _reply_to(self, message: aiomqtt.Message) -> tuple[str, Any]:
        """Where the answer goes: the response topic where one is given that is not ours, with the correlation data."""
        asked = message.properties
        topic = str(getattr(asked, "ResponseTopic", "") or "")
        own = f"{self.base}/order/result"
        usable = topic and not set(topic) & {"+", "#", "\0"} and not topic.startswith("$") and len(topic) <= 512
        if not usable or (f"{topic}/".startswith(f"{self.base}/") and not topic.startswith(f"{own}/")):
            topic = own
        correlation = getattr(asked, "CorrelationData", None)
        return topic, _properties("PUBLISH", **({} if correlation is None else {"CorrelationData": correlation}))


def level(name: str) -> str:
    """A machine's id as one level of a topic: the wildcards and the escape itself are percent-encoded."""
    for sign in "%+#":
        name = name.replace(sign, f"%{ord(sign):02X}")
    return name


def _asked(payload: bytes, *, retained: bool) -> dict[str, Any]:
    """An order's fields as they came, with who asked marked as somebody on the broker.

    Raises:
        OrderError: it is no JSON object, too large, or one that the broker keeps and would repeat.
    """
    if retained:
        raise OrderError("the order was sent to be retained, expected one that the broker does not keep and repeat")
    if len(payload) > _ORDER_BYTES_MOST:
        raise OrderError(f"the order has {len(payload)} bytes, expected at most {_ORDER_BYTES_MOST}")
    try:
        asked = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise OrderError(f"order is {payload[:80]!r}, expected a JSON object: {type(error).__name__}") from None
    if not isinstance(asked, dict):
        raise OrderError(f"order is {payload[:80]!r}, expected a JSON object")
    who = asked.get("who")
    if not isinstance(who, str) or not who:
        raise OrderError(f"who is {who!r}, expected the name of who asks")
    return {**asked, "who": f"mqtt:{who}"}


@contextlib.asynccontextmanager
async def _line(client: aiomqtt.Client) -> AsyncIterator[None]:
    """A client's connection; one that is being made when we are cancelled is made and ended, aiomqtt cannot stop halfway."""
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        client.timeout = _LAST_WORD_S
        await asyncio.wait({connecting}, timeout=_LAST_WORD_S)
        if connecting.cancel() or connecting.exception() is not None:
            raise
        with contextlib.suppress(Exception):
            await client.__aexit__(None, None, None)
        raise
    try:
        yield
    finally:
        await client.__aexit__(None, None, None)


def _heed_cancellation() -> None:
    """End this task where its cancellation was lost.

    aiomqtt waits with `asyncio.wait_for`, which before Python 3.12 drops one that comes together with the broker's answer;
    and an error while leaving the line takes its place.

    Raises:
        CancelledError: this task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _site_json(name: str, judgment: Judgment, record: Record) -> bytes:
    return site_state(name, judgment, record).model_dump_json().encode()


def _properties(packet: str, **values: Any) -> Any:
    """Properties of a packet, as MQTT 5 has them."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(getattr(PacketTypes, packet))  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def _first(error: BaseException) -> BaseException:
    """The first plain error within groups of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
