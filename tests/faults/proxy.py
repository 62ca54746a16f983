"""A TCP relay that goes wrong on demand: it loses, halves, delays or silences the answer to a chosen command, or cuts before it.

It reads whole commands and whole replies, so a fault meets exactly the command it names, wherever the packets begin and end.
It knows the protocol and sockets, and nothing of redisorm or redis-py: what it says was delivered was delivered.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias

__all__ = ["Fault", "Kind", "Proxy", "frames"]

Kind: TypeAlias = Literal["cut", "lose", "halve", "silence", "delay"]
Words: TypeAlias = list[bytes]

_STREAMING = frozenset((b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR", b"SYNC", b"PSYNC"))
"""Commands after which answers are no longer one for each command: from there on a connection is relayed as it comes."""


@dataclass(slots=True)
class Fault:
    """What happens to a command and its answer.

    Attributes:
        kind: `cut`: the commands before it are delivered, it is not, and the connection ends. `lose`: it and all that was sent
            with it are executed, and the connection ends instead of its answer. `halve`: likewise, with half of the answer
            delivered. `silence`: executed, and no answer comes any more over a connection that stays open. `delay`: the answer
            comes late.
        command: The name of the command, in upper case.
        word: A word the command must have, or `None` for any.
        skip: How many such commands pass before.
        times: How many are met, one after the other.
        seconds: How late a delayed answer comes.
    """

    kind: Kind
    command: str
    word: str | None = None
    skip: int = 0
    times: int = 1
    seconds: float = 0.0

    def meets(self, words: Words) -> bool:
        """Whether this command is the one; counts it."""
        if self.times == 0 or words[0].upper() != self.command.encode() or (self.word is not None and self.word.encode() not in words):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def _end_of_frame(data: bytes | bytearray, start: int) -> int | None:
    """Where the frame that starts here ends; `None` where the rest of it has not come. RESP2 and RESP3."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, end = data[start : start + 1], line + 2
    if kind in b"$=!" and data[start + 1 : line] != b"-1":
        end += int(data[start + 1 : line]) + 2
        return end if end <= len(data) else None
    if kind in b"*~>%|" and data[start + 1 : line] != b"-1":
        place: int | None = end
        for _ in range(int(data[start + 1 : line]) * (2 if kind in b"%|" else 1)):
            if place is not None:
                place = _end_of_frame(data, place)
        return place
    return end


def frames(buffer: bytearray) -> Iterator[bytes]:
    """Take the complete frames out of a buffer, in order."""
    start = 0
    while start < len(buffer) and (end := _end_of_frame(buffer, start)) is not None:
        yield bytes(buffer[start:end])
        start = end
    del buffer[:start]


def _words(frame: bytes) -> Words:
    """The words of a command."""
    if not frame.startswith(b"*"):
        return frame.split()
    words, place = [], frame.index(b"\r\n") + 2
    for _ in range(int(frame[1 : place - 2])):
        text = frame.index(b"\r\n", place) + 2
        size = int(frame[place + 1 : text - 2])
        words.append(frame[text : text + size])
        place = text + size + 2
    return words


class _Link:
    """One client's connection and ours to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.expected: deque[Fault | None] = deque()
        self.lost: Fault | None = None
        self.streaming = False

    def cut(self) -> None:
        """End both connections. Their threads close them."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give both sockets back."""
        self.client.close()
        self.server.close()


class Proxy:
    """A relay to a server on a port of 127.0.0.1: `with Proxy(server.port) as proxy: Database(proxy.url)`.

    Attributes:
        url: Where the relay listens, as a `redis://` URL of database 0.
        port: Its port.
        delivered: How often the server was sent each command, by name.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.delivered: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._refusing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    # ---- what goes wrong ----------------------------------------------------------------------------------------------------

    def arm(self, fault: Fault) -> Fault:
        """Let a fault happen; its `times` tell how many are still to come."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def cut(self, command: str, word: str | None = None, *, skip: int = 0, times: int = 1) -> Fault:
        """End the connection before the command reaches the server."""
        return self.arm(Fault("cut", command, word, skip, times))

    def lose(self, command: str, word: str | None = None, *, skip: int = 0, times: int = 1) -> Fault:
        """Let the server execute the command, and end the connection instead of the answer."""
        return self.arm(Fault("lose", command, word, skip, times))

    def halve(self, command: str, word: str | None = None, *, skip: int = 0, times: int = 1) -> Fault:
        """Let the server execute the command, deliver half of the answer, and end the connection."""
        return self.arm(Fault("halve", command, word, skip, times))

    def silence(self, command: str, word: str | None = None, *, skip: int = 0, times: int = 1) -> Fault:
        """Let the server execute the command, and deliver nothing any more over a connection that stays open."""
        return self.arm(Fault("silence", command, word, skip, times))

    def delay(self, command: str, seconds: float, word: str | None = None, *, skip: int = 0, times: int = 1) -> Fault:
        """Deliver the answer late."""
        return self.arm(Fault("delay", command, word, skip, times, seconds))

    def heal(self) -> None:
        """Forget all faults and accept connections again."""
        with self._lock:
            self._faults.clear()
            self._refusing = False

    def refuse(self) -> None:
        """End all connections, and end new ones as soon as they are made."""
        self._refusing = True
        self.drop()

    def drop(self) -> None:
        """End all connections."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.cut()

    # ---- relaying -----------------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, server)
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            with self._lock:
                self._links.add(link)
                self._threads = [*(known for known in self._threads if known.is_alive()), thread]
            thread.start()

    def _serve(self, link: _Link) -> None:
        answers = threading.Thread(target=self._relay, args=(link.server, self._answers, link), daemon=True)
        answers.start()
        self._relay(link.client, self._commands, link)
        answers.join()
        with self._lock:
            self._links.discard(link)
        link.close()

    def _relay(self, source: socket.socket, deliver: Callable[[_Link, bytearray], None], link: _Link) -> None:
        buffer = bytearray()
        with suppress(OSError):
            while packet := source.recv(1 << 20):
                buffer += packet
                deliver(link, buffer)
        link.cut()

    def _commands(self, link: _Link, buffer: bytearray) -> None:
        """Deliver commands to the server, up to one that is cut off."""
        packet: list[bytes] = []
        for frame in frames(buffer):
            words = _words(frame)
            fault = self._fault_of(words)
            if fault is not None and fault.kind == "cut":
                link.server.sendall(b"".join(packet))
                self._await_answers(link)
                raise ConnectionAbortedError
            self.delivered[words[0].decode(errors="replace").upper()] += 1
            link.streaming |= words[0].upper() in _STREAMING
            link.expected.append(fault)
            packet.append(frame)
        link.server.sendall(b"".join(packet))

    def _fault_of(self, words: Words) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._faults if fault.meets(words)), None)

    def _answers(self, link: _Link, buffer: bytearray) -> None:
        """Deliver replies to the client, up to one that is lost."""
        if link.streaming:
            link.client.sendall(buffer)
            buffer.clear()
            return
        packet: list[bytes] = []
        for frame in frames(buffer):
            fault = None if frame.startswith(b">") else link.expected.popleft()
            if link.lost is not None:
                continue
            if fault is not None and fault.kind == "delay":
                link.client.sendall(b"".join(packet))
                packet = []
                time.sleep(fault.seconds)
            elif fault is not None:
                link.lost = fault
            packet.append(frame if link.lost is None else frame[: len(frame) // 2] if link.lost.kind == "halve" else b"")
        link.client.sendall(b"".join(packet))
        # What was sent in one packet is executed before the client learns that an answer is lost.
        if link.lost is not None and link.lost.kind != "silence" and not link.expected:
            raise ConnectionAbortedError

    def _await_answers(self, link: _Link) -> None:
        """Give the answers to what was delivered before the cut their time to arrive."""
        deadline = time.monotonic() + 1
        while link.expected and time.monotonic() < deadline:
            time.sleep(0.001)

    # ---- its end ------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all connections and stop listening."""
        self._refusing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        for thread in list(self._threads):
            thread.join(5)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
