"""`rediss://`: both colours speak TLS with the options of redis-py, and refuse a server or a client that cannot prove itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm import ConnectionFailedError
from tests.faults.colours import Colour, Open
from tests.faults.scene import Scene, stored
from tests.servers import KINDS, Server
from tests.zoo.models import User

trustme = pytest.importorskip("trustme", reason="pip install trustme, which makes the certificates")


class Guarded:
    """A server behind TLS that wants to see a client's certificate.

    Attributes:
        url: Its `rediss://` URL.
        options: What a client it trusts needs.
        authority: The file of the authority that signed its certificate.
        stranger: The file of another authority.
    """

    def __init__(self, server: Server, port: int, files: dict[str, str]) -> None:
        self.server = server
        self.url = f"rediss://127.0.0.1:{port}/0"
        self.authority, self.stranger = files["ca"], files["stranger"]
        self.options: dict[str, Any] = {
            "ssl_ca_certs": files["ca"],
            "ssl_certfile": files["client"],
            "ssl_keyfile": files["client"],
            "retry": Retry(NoBackoff(), 0),
            "timeout": 5,
        }


def certificates(directory: Path) -> dict[str, str]:
    ours, theirs = trustme.CA(), trustme.CA()
    files = {name: str(directory / f"{name}.pem") for name in ("ca", "stranger", "server", "client")}
    ours.cert_pem.write_to_path(files["ca"])
    theirs.cert_pem.write_to_path(files["stranger"])
    ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(files["server"])
    ours.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(files["client"])
    return files


@pytest.fixture(params=KINDS)
def guarded(request: pytest.FixtureRequest, start: Callable[..., Server], tmp_path: Path) -> Guarded:
    """Each kind of server behind TLS, where it was built with it."""
    files = certificates(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server_words = ("--tls-cert-file", files["server"], "--tls-key-file", files["server"], "--tls-ca-cert-file", files["ca"])
    try:
        server = start(request.param, "--tls-port", str(port), *server_words, "--tls-auth-clients", "yes")
    except RuntimeError as error:
        if "tls" not in str(error).lower():
            raise
        pytest.skip(f"this {request.param} was built without TLS")
    return Guarded(server, port, files)


def test_sessions_work_over_tls(guarded: Guarded, colour: Colour, opened: Open) -> None:
    scene = Scene(colour, opened(guarded.url, **guarded.options), guarded.server.port)
    scene.commit()
    scene.check_all_happened()
    scene.close()


@pytest.mark.parametrize("lacking", ["the server's authority", "a certificate of its own", "TLS"])
def test_connection_that_cannot_be_trusted_is_refused_and_writes_nothing(
    guarded: Guarded, colour: Colour, opened: Open, lacking: str
) -> None:
    url, options = guarded.url, dict(guarded.options)
    if lacking == "the server's authority":
        options["ssl_ca_certs"] = guarded.stranger
    elif lacking == "a certificate of its own":
        del options["ssl_certfile"], options["ssl_keyfile"]
    else:
        url = url.replace("rediss://", "redis://")
        options = {"retry": options["retry"], "timeout": 1}
    session = colour.Session(opened(url, **options))
    session.add(User(id=1, name="Ann"))

    with pytest.raises(ConnectionFailedError) as caught:
        colour.do(session.commit())

    assert caught.value.__cause__ is not None
    assert stored(guarded.server.port) == {}
    assert len(session.new) == 1
    session.rollback()
    session.close()


def test_name_of_the_server_is_checked(guarded: Guarded, colour: Colour, opened: Open) -> None:
    session = colour.Session(opened(guarded.url.replace("127.0.0.1", "localhost"), **guarded.options))
    with pytest.raises(ConnectionFailedError, match="Hostname mismatch"):
        colour.do(session.get(User, 1))
    session.close()
