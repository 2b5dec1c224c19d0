"""The bus in Redis: its publish and subscribe.

Theory of operation
-------------------
Publishing is a call like any other. Whoever listens shares one more connection, in each event loop, that only hears: a
task reads it, and another sends it what to subscribe to. Redis answers in order, so the answer to a subscription is
that of the oldest one to this channel that waits; `listen` returns when it came. Redis keeps nothing for a connection
that is gone, so where one had to be made anew, each listener is told of a gap once it is subscribed again. A server
that says nothing for a while is asked for a sign of life, and counts as gone when it gives none.

In a cluster every node passes on what any of them was told. Redis knows no databases here, so the names of channels
have the number of ours in them.

Specification: none; see `Bus`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from dovetail.logs import get_logger
from dovetail.stores.bounds import BusBounds, check_key, check_value
from dovetail.stores.errors import StoreClosed, StoreError, StoreUnavailable
from dovetail.stores.listeners import BusListeners

from .connections import Connections
from .driver import Driver, is_refusal

__all__ = ["RedisBus"]

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between attempts to reach a server that is away."""

_log = get_logger("dovetail.stores")
_Futures = list["asyncio.Future[None]"]


class _Subscriber:
    """Those who listen in one event loop, and the connection that they share."""

    def __init__(self, driver: Driver, prefix: bytes, bounds: BusBounds) -> None:
        self._driver = driver
        self._prefix = prefix
        self._listeners = BusListeners(bounds, self._vacated)
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._connected = False
        self._pause = FIRST_PAUSE
        self._orders: list[tuple[bytes, str]] = []
        self._ordered = asyncio.Event()
        self._waiting: dict[str, deque[_Futures]] = {}  # who waits for each subscription on its way
        self._leaving: Counter[str] = Counter()  # ends of subscriptions on their way
        self._subscribed: set[str] = set()

    async def listen(self, channel: str, heard: Callable[[bytes | None], None]) -> Callable[[], None]:
        """See `Bus.listen`."""
        end = self._listeners.add(channel, heard)
        try:
            if channel not in self._subscribed:
                await self._subscription(channel)
        except BaseException:
            end()
            raise
        return end

    async def close(self) -> None:
        """Nobody hears anything any more."""
        self._closed = True
        self._listeners.close()
        self._fail(StoreClosed())
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _subscription(self, channel: str) -> None:
        """Wait until the server has subscribed us. Raises `StoreUnavailable`."""
        if self._task is None:
            self._task = self._loop.create_task(self._stay(), name="dovetail-redis-bus")
        subscribed = self._loop.create_future()
        self._waiting.setdefault(channel, deque()).append([subscribed])
        if self._connected:
            self._order(b"SUBSCRIBE", channel)
        try:
            async with asyncio.timeout(2 * self._driver.timeout):
                await subscribed
        except TimeoutError:
            raise StoreUnavailable("The Redis store does not answer. Listen again later.") from None

    def _vacated(self, channel: str) -> None:
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            self._loop.call_soon_threadsafe(self._leave, channel)

    def _leave(self, channel: str) -> None:
        if channel in self._subscribed and not self._listeners.on(channel):
            self._subscribed.discard(channel)
            self._leaving[channel] += 1
            self._order(b"UNSUBSCRIBE", channel)

    def _order(self, what: bytes, channel: str) -> None:
        self._orders.append((what, channel))
        self._ordered.set()

    def _fail(self, error: Exception) -> None:
        """Whoever waits for a subscription gets this error."""
        waiting, self._waiting = self._waiting, {}
        for futures in waiting.values():
            for future in (future for each in futures for future in each if not future.done()):
                future.set_exception(error)

    async def _stay(self) -> None:
        """Be connected, again and again, while anybody listens or waits to."""
        gap = False
        while self._waiting or self._listeners.channels():
            try:
                connection = await self._driver.connect(None, listening=True)
            except StoreError as error:
                self._fail(error)
                await self._rest()
                continue
            try:
                await self._serve(connection, gap=gap)
            except Exception as error:  # noqa: BLE001 - whatever broke it, the next connection heals it
                if is_refusal(error):
                    self._fail(self._driver.refused(None, error))
                _log.info("the connection of the bus to Redis broke (%s)", type(error).__name__)
            finally:
                self._connected = False
                self._subscribed.clear()
                await self._driver.close(connection)
            gap = True
            await self._rest()
        self._task = None

    async def _rest(self) -> None:
        """Wait before the next attempt, longer each time until one succeeds."""
        await asyncio.sleep(self._pause * random.SystemRandom().uniform(0.5, 1.0))  # not all at once
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _serve(self, connection: Any, *, gap: bool) -> None:
        """Hear what comes, until the connection breaks. ``gap``: something may be missing before it."""
        self._orders.clear()
        self._leaving.clear()
        for channel, futures in self._waiting.items():  # each channel is subscribed to once now
            self._waiting[channel] = deque([[future for each in futures for future in each]])
        channels = dict.fromkeys([*self._listeners.channels(), *self._waiting])
        unheard = set(channels) if gap else set[str]()
        for channel in channels:
            self._order(b"SUBSCRIBE", channel)
        self._connected = True
        sending = self._loop.create_task(self._send_orders(connection), name="dovetail-redis-bus-orders")
        try:
            asked = False
            while not self._closed:
                reply = await self._driver.hear(connection, self._driver.timeout)
                if reply is not None:
                    asked = False
                    if self._take(reply, unheard):
                        await asyncio.sleep(0)
                elif asked or sending.done():
                    raise TimeoutError
                else:
                    asked = True
                    await self._driver.ask_for_life(connection)
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    async def _send_orders(self, connection: Any) -> None:
        """Send what was ordered, in that order."""
        try:
            while True:
                await self._ordered.wait()
                self._ordered.clear()
                orders, self._orders = self._orders, []
                if orders:
                    await self._driver.send(
                        connection, [(what, self._prefix + channel.encode()) for what, channel in orders]
                    )
        except Exception:  # noqa: BLE001 - who reads this connection finds out as well
            await self._driver.close(connection)

    def _take(self, reply: object, unheard: set[str]) -> bool:
        """Do what a reply says. Whether it is time to let others turn."""
        if not isinstance(reply, list) or len(cast("list[bytes]", reply)) < 3:
            return False  # a sign of life
        kind, name, what = cast("list[bytes]", reply)
        channel = name[len(self._prefix) :].decode()
        if kind == b"message":
            return self._listeners.tell(channel, what)
        if kind == b"unsubscribe":
            self._leaving[channel] -= 1
        elif kind == b"subscribe":
            self._pause = FIRST_PAUSE
            if channel in unheard:
                unheard.discard(channel)
                self._listeners.tell(channel, None)
            if self._leaving[channel] <= 0:
                self._subscribed.add(channel)
            if futures := self._waiting.get(channel):
                for future in futures.popleft():
                    if not future.done():
                        future.set_result(None)
                if not futures:
                    del self._waiting[channel]
            if not self._listeners.on(channel):  # all who came have left meanwhile
                self._leave(channel)
        return False


class RedisBus:
    """A `Bus` in the server of `connections`."""

    def __init__(self, connections: Connections, namespace: str, bounds: BusBounds) -> None:
        self._connections = connections
        self._bounds = bounds
        self._prefix = f"{namespace}:bus@{connections.driver.database}:".encode()

    async def publish(self, channel: str, data: bytes) -> None:
        """See `Bus.publish`."""
        check_key(channel, "channel")
        check_value(data, self._bounds.max_message, "message")
        await self._connections.command(b"PUBLISH", self._prefix + channel.encode(), data)

    async def listen(self, channel: str, heard: Callable[[bytes | None], None]) -> Callable[[], None]:
        """See `Bus.listen`."""
        check_key(channel, "channel")
        local = self._connections.here()
        subscriber: _Subscriber | None = local.extras.get("bus")
        if subscriber is None:
            subscriber = _Subscriber(self._connections.driver, self._prefix, self._bounds)
            local.extras["bus"] = subscriber
            local.closing.append(subscriber.close)
        return await subscriber.listen(channel, heard)
