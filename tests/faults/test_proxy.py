"""The relay does what it says, seen through bare sockets: what later tests conclude from it rests on this."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import Proxy, frames
from tests.servers import Server


def packet(*commands: str) -> bytes:
    """Commands as a client packs them."""
    words = [command.split() for command in commands]
    return b"".join(b"*%d\r\n" % len(one) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in one) for one in words)


def heard(connection: socket.socket) -> bytes:
    """Everything that comes until the connection ends."""
    text = b""
    try:
        while more := connection.recv(65536):
            text += more
    except ConnectionResetError:
        pass
    return text


@contextmanager
def through(proxy: Proxy, *commands: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        connection.sendall(packet(*commands))
        yield connection


def test_frames_are_taken_whole_wherever_the_packets_end() -> None:
    replies = [
        b"+OK\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"$-1\r\n",
        b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
        b"%1\r\n+a\r\n~1\r\n,1.5\r\n",
        b"_\r\n",
        b"*0\r\n",
    ]
    buffer = bytearray()
    taken: list[bytes] = []
    for byte in b"".join(replies):
        buffer.append(byte)
        taken += frames(buffer)
    assert taken == replies
    assert not buffer


def test_healthy_relay_changes_nothing(proxy: Proxy) -> None:
    with through(proxy, "SET a 1", "GET a", "QUIT") as connection:
        assert heard(connection) == b"+OK\r\n$1\r\n1\r\n+OK\r\n"
    assert proxy.delivered == {"SET": 1, "GET": 1, "QUIT": 1}


def test_lost_answer_was_executed_and_so_was_what_came_with_it(proxy: Proxy, server: Server) -> None:
    fault = proxy.lose("INCR")
    with through(proxy, "SET a 1", "INCR a", "INCR a") as connection:
        assert heard(connection) == b"+OK\r\n"
    assert server.ask("GET", "a") == b"$1\r\n3\r\n"
    assert fault.times == 0


def test_cut_command_never_reaches_the_server(proxy: Proxy, server: Server) -> None:
    proxy.cut("EXEC")
    with through(proxy, "MULTI", "SET a 1", "EXEC") as connection:
        assert heard(connection) == b"+OK\r\n+QUEUED\r\n"
    assert server.ask("GET", "a") == b"$-1\r\n"
    assert proxy.delivered["EXEC"] == 0


def test_half_an_answer(proxy: Proxy) -> None:
    proxy.halve("ECHO")
    with through(proxy, "PING", "ECHO 0123456789") as connection:
        assert heard(connection) == b"+PONG\r\n$10\r\n012"


def test_silence_leaves_the_connection_open(proxy: Proxy, server: Server) -> None:
    proxy.silence("INCR")
    with through(proxy, "INCR a", "PING") as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
    assert server.ask("GET", "a") == b"$1\r\n1\r\n"


def test_delayed_answer_comes(proxy: Proxy) -> None:
    proxy.delay("PING", 0.2)
    started = time.monotonic()
    with through(proxy, "PING", "QUIT") as connection:
        assert heard(connection) == b"+PONG\r\n+OK\r\n"
    assert time.monotonic() - started >= 0.2


def test_fault_names_its_command_by_a_word_and_a_place(proxy: Proxy) -> None:
    fault = proxy.lose("GET", "b", skip=1)
    with through(proxy, "GET a", "GET b", "GET b", "GET b") as connection:
        assert heard(connection) == b"$-1\r\n$-1\r\n"
    assert (fault.skip, fault.times) == (0, 0)


def test_refusing_relay_ends_every_connection_until_it_heals(proxy: Proxy) -> None:
    with through(proxy, "PING") as connection:
        assert connection.recv(100) == b"+PONG\r\n"
        proxy.refuse()
        assert heard(connection) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        assert heard(connection) == b""
    proxy.heal()
    with through(proxy, "PING", "QUIT") as connection:
        assert heard(connection) == b"+PONG\r\n+OK\r\n"


def test_streams_are_relayed_as_they_come(proxy: Proxy, server: Server) -> None:
    with through(proxy, "SUBSCRIBE a b") as connection:
        time.sleep(0.1)
        server.ask("PUBLISH", "b", "news")
        time.sleep(0.1)
        assert connection.recv(65536).endswith(b"$1\r\nb\r\n$4\r\nnews\r\n")
