"""`memory://`: the same drivers over fakeredis, a Redis in this process.

What differs from a server is here and nowhere else: packets go in command by command, texts become bytes, the clock is
this machine's, and a guarded section (from `Watch` to its atomic batch) runs alone on its store, because fakeredis does not abort
EXEC when a watched key has expired meanwhile. A command that waits is asked again and again without waiting: in fakeredis a
waiting BLMOVE loses what others pushed meanwhile, and a task that was cancelled would still take the item that comes next.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.exceptions import ResponseError

from redisorm.commands import Batch, Command, Guarded, Watch
from redisorm.drivers import exchange as make
from redisorm.drivers import questions
from redisorm.drivers.awaiting import AwaitingDriver
from redisorm.drivers.blocking import BlockingDriver
from redisorm.drivers.exchange import Exchange
from redisorm.drivers.pin import Pin
from redisorm.drivers.places import Place, Places
from redisorm.drivers.server import KnownServer
from redisorm.drivers.store import Store
from redisorm.drivers.wire import AsyncConnection, Connection
from redisorm.errors import BackendTimeoutError, WrongTypeError

__all__ = ["AwaitingMemoryDriver", "BlockingMemoryDriver"]

C = TypeVar("C")

_RETRY_S = 0.0005
_LONGEST_RETRY_S = 0.01


def _bytes(reply: Any) -> Any:
    if isinstance(reply, str):
        return reply.encode()
    if isinstance(reply, list):
        return [_bytes(item) for item in reply]
    if isinstance(reply, dict):
        return {_bytes(name): _bytes(value) for name, value in reply.items()}
    if isinstance(reply, ResponseError) and str(reply).startswith("BUSYGROUP "):
        return ResponseError(str(reply))  # without the code ERR, which a server does not put before it
    return reply


_AT_ONCE = {"BLMPOP": "LMPOP", "BLMOVE": "LMOVE", "BZMPOP": "ZPOP", "XREADGROUP": "XREADGROUP"}


class _Waiting:
    """A command that waits, as one that does not and is asked again until there is an answer or the time is over.

    Attributes:
        request: The batch of that command.
    """

    def __init__(self, command: Command) -> None:
        name = _AT_ONCE[str(command[0])]
        self._zset = name == "ZPOP"
        if name == "XREADGROUP":  # with COUNT that of fakeredis never waits, and without it loses what comes
            place = list(command).index("BLOCK")
            self.request = Batch(((*command[:place], *command[place + 2 :]),))
        elif self._zset:  # BZMPOP timeout 1 key MIN COUNT n; ZMPOP of fakeredis knows no wrong type
            self.request = Batch(((f"ZPOP{command[4]!s}", command[3], command[6]),))
        else:
            self.request = Batch(((name, *(command[2:] if name == "LMPOP" else command[1:-1])),))
        self._command = command
        self._deadline = time.monotonic() + make.waiting_time(command)
        self._pause_s = _RETRY_S

    @classmethod
    def of(cls, request: Batch) -> _Waiting | None:
        """The waiting of a batch; `None` where it does not wait, as inside MULTI."""
        if request.atomic or len(request.commands) != 1 or request.commands[0][0] not in _AT_ONCE:
            return None
        return cls(request.commands[0]) if make.waiting_time(request.commands[0]) else None

    def answer(self, replies: list[Any]) -> list[Any]:
        """The replies as the command that waits would have them."""
        return [[self._command[3], replies[0]] if replies[0] else None] if self._zset else replies

    def pause_s(self, replies: list[Any]) -> float | None:
        """How long to pause before asking again; `None` where this is the answer."""
        left_s = self._deadline - time.monotonic()
        if replies[0] or left_s <= 0:
            return None
        pause_s = min(self._pause_s, left_s)
        self._pause_s = min(self._pause_s * 1.5, _LONGEST_RETRY_S)
        return pause_s


class _GuardedPin(Pin[C]):
    """A pin that holds its store while it watches.

    Attributes:
        place: The place of the store, while it has it.
        alive: How many of the watched keys were there when they were watched.
    """

    place: Place | None = None
    alive: int = 0

    def counting(self, request: Watch) -> Watch:
        """Return the request with a count of its keys as the first read."""
        return Watch(request.keys, (("EXISTS", *request.keys), *request.commands))

    def recount(self) -> Exchange:
        """Count the keys once more: fewer than before means that one has expired; fakeredis sees everything else itself."""
        return make.batch(Batch((("EXISTS", *(key for watch in self.watches for key in watch.keys)),)), KnownServer())

    def let_go(self, guard: Places) -> None:
        place, self.place = self.place, None
        if place is not None:
            self.alive = 0
            guard.give(place)


def _undisturbed(work: Callable[[], list[Any]]) -> list[Any]:
    """Do something to its end and let Ctrl-C come after it.

    There is no server here that would go on by itself, and no lock of fakeredis may stay held.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        return work()
    noted: list[Any] = []
    signal.signal(signal.SIGINT, lambda *event: noted.append(event))
    try:
        return work()
    finally:
        signal.signal(signal.SIGINT, handler)
        if noted:
            handler(*noted[0])


def _too_long(wait_s: float) -> BackendTimeoutError:
    return BackendTimeoutError(f"WATCH: other commits held this memory:// store for {wait_s} s; do less between reading and committing")


class BlockingMemoryDriver(BlockingDriver):
    """The blocking driver over a store in this process.

    Args:
        client: A client of the store.
        store: The store.
        wait_s: How long a guarded section waits for those of others, in seconds.
    """

    def __init__(self, client: redis.Redis, store: Store, wait_s: float) -> None:
        super().__init__(client, store.known)
        self._guard = store.guard
        self._wait_s = wait_s
        self._greeted = True

    _takes_few_steps: bool = False

    def _new_pin(self) -> _GuardedPin[Connection]:
        return _GuardedPin()

    def _watch(self, request: Watch, pin: Pin[Connection]) -> Any:
        assert isinstance(pin, _GuardedPin)
        if pin.place is None:
            pin.place = self._guard.take(self._wait_s)
        if pin.place is None:
            raise _too_long(self._wait_s)
        try:
            if not request.keys:
                return super()._watch(request, pin)
            alive, *answers = super()._watch(pin.counting(request), pin)
        except BaseException:
            pin.let_go(self._guard)
            raise
        pin.alive += alive
        self.commands -= 1  # no server is asked this
        return answers

    def _batch(self, request: Batch, pin: Pin[Connection]) -> Any:
        waiting = _Waiting.of(request)
        if waiting is None:
            return super()._batch(request, pin)
        while True:
            replies = super()._batch(waiting.request, pin)
            pause_s = waiting.pause_s(replies)
            if pause_s is None:
                return waiting.answer(replies)
            time.sleep(pause_s)

    def _guarded(self, request: Guarded, pin: Pin[Connection]) -> Any:
        try:
            seen = self._watch(Watch(request.keys, [*chain.from_iterable(request.reads)]), pin)
        except WrongTypeError:
            pin.watches = ()  # the connection that watched is closed
            return None
        if not request.fits(seen):
            pin.watches = ()
            self._unpin(pin)
            return None
        request.meanwhile()
        return self._batch(Batch([*chain.from_iterable(request.pieces)], atomic=True), pin)

    def _post(self, exchange: Exchange, pin: Pin[Connection]) -> None:
        # There is nobody who would go on with it: it is done when it is collected, and counts then.
        self.round_trips += pin.post(exchange) - 1

    def _commit(self, exchange: Exchange, pin: Pin[Connection]) -> Any:
        assert isinstance(pin, _GuardedPin)
        if pin.connection is not None and pin.alive and self._converse(pin.connection, pin.recount()) != [pin.alive]:
            pin.watches = ()
            self._unpin(pin)
            return None
        return super()._commit(exchange, pin)

    def _release(self, pin: Pin[Connection]) -> None:
        assert isinstance(pin, _GuardedPin)
        pin.let_go(self._guard)
        super()._release(pin)

    def _converse(self, connection: Connection, exchange: Exchange, *, check_health: bool = True) -> list[Any]:
        converse = partial(super()._converse, connection, exchange, check_health=check_health)
        return [_bytes(reply) for reply in _undisturbed(converse)]

    def _packet(self, exchange: Exchange) -> Iterable[bytes]:
        return map(bytes, exchange.chunks)  # fakeredis takes a long packet apart in quadratic time

    def _question(self, command: str) -> Exchange:
        return questions.probe(command)  # fakeredis tells nothing of itself

    def _now_ms(self, pin: Pin[Connection]) -> int:
        return time.time_ns() // 1_000_000


class AwaitingMemoryDriver(AwaitingDriver):
    """The awaiting driver over a store in this process. A guarded section never waits, so no other task meets it half way.

    Args:
        client: A client of the store, for the running event loop.
        store: The store.
        wait_s: How long a guarded section waits for those of other threads, in seconds.
    """

    _takes_few_steps: bool = False

    def __init__(self, client: redis.asyncio.Redis, store: Store, wait_s: float) -> None:
        super().__init__(client, store.known)
        self._guard = store.guard
        self._wait_s = wait_s
        self._greeted = True

    def _new_pin(self) -> _GuardedPin[AsyncConnection]:
        return _GuardedPin()

    async def _watch(self, request: Watch, pin: Pin[AsyncConnection]) -> Any:
        assert isinstance(pin, _GuardedPin)
        if pin.place is None:
            pin.place = await self._hold()
        try:
            if not request.keys:
                return await super()._watch(request, pin)
            alive, *answers = await super()._watch(pin.counting(request), pin)
        except BaseException:
            pin.let_go(self._guard)
            raise
        pin.alive += alive
        self.commands -= 1  # no server is asked this
        return answers

    async def _hold(self) -> Place:
        deadline = time.monotonic() + self._wait_s
        while (place := self._guard.take(0)) is None:
            # The holder may be a task of this loop: a thread's wait would keep it from ever letting go.
            if time.monotonic() > deadline:
                raise _too_long(self._wait_s)
            await asyncio.sleep(_RETRY_S)
        return place

    async def _batch(self, request: Batch, pin: Pin[AsyncConnection]) -> Any:
        waiting = _Waiting.of(request)
        if waiting is None:
            return await super()._batch(request, pin)
        while True:
            replies = await super()._batch(waiting.request, pin)
            pause_s = waiting.pause_s(replies)
            if pause_s is None:
                return waiting.answer(replies)
            await asyncio.sleep(pause_s)

    async def _guarded(self, request: Guarded, pin: Pin[AsyncConnection]) -> Any:
        try:
            seen = await self._watch(Watch(request.keys, [*chain.from_iterable(request.reads)]), pin)
        except WrongTypeError:
            pin.watches = ()  # the connection that watched is closed
            return None
        if not request.fits(seen):
            pin.watches = ()
            await self._unpin(pin)
            return None
        request.meanwhile()
        return await self._batch(Batch([*chain.from_iterable(request.pieces)], atomic=True), pin)

    async def _post(self, exchange: Exchange, pin: Pin[AsyncConnection]) -> None:
        # There is nobody who would go on with it: it is done when it is collected, and counts then.
        self.round_trips += pin.post(exchange) - 1

    async def _commit(self, exchange: Exchange, pin: Pin[AsyncConnection]) -> Any:
        assert isinstance(pin, _GuardedPin)
        if pin.connection is not None and pin.alive and await self._converse(pin.connection, pin.recount()) != [pin.alive]:
            pin.watches = ()
            await self._unpin(pin)
            return None
        return await super()._commit(exchange, pin)

    async def _release(self, pin: Pin[AsyncConnection]) -> None:
        assert isinstance(pin, _GuardedPin)
        pin.let_go(self._guard)
        await super()._release(pin)

    async def _converse(self, connection: AsyncConnection, exchange: Exchange, *, check_health: bool = True) -> list[Any]:
        return [_bytes(reply) for reply in await super()._converse(connection, exchange, check_health=check_health)]

    def _packet(self, exchange: Exchange) -> Iterable[bytes]:
        return map(bytes, exchange.chunks)  # fakeredis takes a long packet apart in quadratic time

    def _question(self, command: str) -> Exchange:
        return questions.probe(command)  # fakeredis tells nothing of itself

    async def _now_ms(self, pin: Pin[AsyncConnection]) -> int:
        return time.time_ns() // 1_000_000
