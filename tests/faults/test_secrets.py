"""Passwords appear in no repr, no error and no log; what a user hands in as key or value is never taken for a command or a pattern."""

from __future__ import annotations

import logging
import traceback

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm import Database, Field, RedisModel, RedisormError, Session, col
from redisorm.drivers.url import locate
from tests.faults.colours import Colour, Open
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.zoo.models import User

SECRET = "hunter2-of-the-zoo"


def everything_said(error: BaseException) -> str:
    """An error, its causes and its traceback, as a log would have them."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


# ---- passwords -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{SECRET}@127.0.0.1:1/0",
        f"redis://:{SECRET}@127.0.0.1:1",
        f"rediss://user:{SECRET}@127.0.0.1:1/0?ssl_cert_reqs=none",
        f"unix://user:{SECRET}@/nowhere/redis.sock",
        f"unix:///nowhere/redis.sock?password={SECRET}",
        f"redis://127.0.0.1:1/0?username=user&password={SECRET}",
    ],
)
def test_no_repr_error_or_log_of_an_unreachable_server_shows_the_password(
    url: str, colour: Colour, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    db = opened(url, retry=Retry(NoBackoff(), 0))
    session = colour.Session(db)
    session.add(User(id=1, name="Ann"))
    said = [repr(db), str(db), repr(session), repr(db.__dict__.get("_location")), repr(db.client), repr(db.client.connection_pool)]
    for ask in (session.commit, lambda: session.get(User, 2)):
        with pytest.raises(RedisormError) as caught:
            colour.do(ask())
        said.append(everything_said(caught.value))
    session.close()
    assert SECRET not in "".join([*said, caplog.text])


@pytest.mark.parametrize("url", [f"redis://{{user}}:{SECRET}@{{address}}", "redis://{user}:" + SECRET + "@{address}?protocol=2"])
def test_no_error_of_a_server_that_refuses_shows_the_password(
    url: str, server: Server, colour: Colour, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert (
        server.ask("ACL", "SETUSER", "poor", "reset", "on", f">{SECRET}", "~user:*", "+@connection", "+@transaction", "+time") == b"+OK\r\n"
    )
    said: list[str] = []
    with Proxy(server.port) as proxy:
        for user in ("poor", "nobody"):
            db = opened(url.format(user=user, address=f"127.0.0.1:{proxy.port}/0"), retry=Retry(NoBackoff(), 0), timeout=1)
            for fault in (None, "lose", "halve", "silence", "cut"):
                if fault is not None:
                    getattr(proxy, fault)("EXEC")
                session = colour.Session(db)
                session.add(User(id=1, name="Ann"))
                with pytest.raises(RedisormError) as caught:
                    colour.do(session.commit())
                said.append(everything_said(caught.value))
                session.rollback()
                session.close()
                proxy.heal()
    assert SECRET not in "".join([*said, caplog.text])


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}",  # the @ and the host were forgotten
        f"redis://user:{SECRET}",
        f"redis://user:{SECRET}@host:port",
        f"redis://user:{SECRET}/x@host:99999",
        f"redis+sentinel://user:{SECRET}@host/mymaster",
        f"http://user:{SECRET}@host",
        f"{SECRET}@host:6379",
        f"user:{SECRET}@host:6379",
    ],
)
def test_url_that_is_refused_is_not_shown(url: str) -> None:
    with pytest.raises((ValueError, RedisormError)) as caught:
        locate(url)
    assert SECRET not in everything_said(caught.value)


def test_options_are_not_shown(server: Server) -> None:
    assert server.ask("ACL", "SETUSER", "rich", "on", f">{SECRET}", "~*", "+@all") == b"+OK\r\n"
    with Database(server.url, username="rich", password=SECRET) as db, Session(db) as session:
        session.add(User(id=1, name="Ann"))
        session.commit()
        assert session.get_one(User, 1).name == "Ann"
        said = [repr(db), repr(db.client), repr(session), repr(db.client.connection_pool), repr(db.traffic)]
    assert SECRET not in "".join(said)


def test_values_are_in_no_error_but_those_that_speak_of_them(server: Server, colour: Colour, opened: Open) -> None:
    """An argument of a command may be a password too: a server's error names the key only."""
    db = opened(server.url)
    session = colour.Session(db)
    session.add(User(id=1, name=SECRET, email=f"{SECRET}@x"))
    server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(RedisormError) as caught:
            colour.do(session.commit())
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")
    assert SECRET not in str(caught.value)
    session.rollback()
    session.close()


# ---- injection -----------------------------------------------------------------------------------------------------------


class Note(RedisModel, prefix="note"):
    id: str
    text: str = Field(default="", index="lex")
    topic: str = Field(default="", index=True)
    owner: str | None = Field(default=None, unique=True)
    tags: set[str] = Field(default=set(), index=True)


HOSTILE = [
    *("1:tags", "1::memo", ":all", "::all", ":unique:owner:x", "", "%", "%3A", "1%3Atags", "{slot}", "a{b}c", "\0", "1\0x", " ", "\r\n"),
    *(
        "*",
        "?",
        "[a-z]",
        "note:*",
        "1\r\nFLUSHALL\r\n",
        "*1\r\n$8\r\nFLUSHALL\r\n",
        "é",
        "\U0001f600",
        "a" * 10_000,
        "'; DROP",
        "-inf",
        "(1",
    ),
    *("+inf", "[", "(", "+", "-", "\x01", "\xff", "\\", '"', "$$", "KEYS[1]", "return redis.call('FLUSHALL')", "all", "unique", "id:next"),
]


def test_no_key_spells_another_rows_or_the_librarys_own(server_url: str, colour: Colour, opened: Open) -> None:
    db = opened(server_url)
    session = colour.Session(db)
    session.add_all(Note(id=pk, text=pk, topic=pk, owner=pk, tags={pk}) for pk in HOSTILE)
    colour.do(session.commit())
    session.close()
    assert len({Note.__redisorm_mapper__.keyspace("").row(pk) for pk in HOSTILE}) == len(HOSTILE)

    for pk in HOSTILE:
        session = colour.Session(db)
        note = colour.do(session.get_one(Note, pk))
        assert (note.id, note.text, note.topic, note.owner, note.tags) == (pk, pk, pk, pk, {pk})
        assert colour.do(session.get_by(Note, owner=pk)) is note
        assert colour.do(session.find(Note, topic=pk).all()) == [note]
        assert colour.do(session.find(Note, col(Note.tags).contains(pk)).all()) == [note]
        assert colour.do(session.find(Note, Note.text == pk).all()) == [note]
        session.close()
    assert db.check(Note).ok

    session = colour.Session(db)
    session.delete(colour.do(session.get_one(Note, "*")))
    colour.do(session.commit())
    assert colour.do(session.find(Note).count()) == len(HOSTILE) - 1
    for pk in HOSTILE:
        if pk != "*":
            session.delete(colour.do(session.get_one(Note, pk)))
    colour.do(session.commit())
    session.close()
    assert db.client.keys("*") == []


@pytest.mark.parametrize("prefix", HOSTILE)
def test_startswith_takes_its_text_as_it_is(server_url: str, prefix: str) -> None:
    texts = [*HOSTILE, f"{prefix}x", "zz"]
    with Database(server_url) as db, Session(db) as session:
        session.add_all(Note(id=str(number), text=text) for number, text in enumerate(texts))
        session.commit()
        found = {note.text for note in session.find(Note, col(Note.text).startswith(prefix)).all()}
    assert found == {text for text in texts if text.startswith(prefix)}


@pytest.mark.parametrize("name", ["__class__", "model_fields", "id; FLUSHALL", "id:next", "all", ":version", "a.b", ""])
def test_unknown_names_in_conditions_are_refused(name: str) -> None:
    with Database("memory://") as db, Session(db) as session:
        with pytest.raises(RedisormError):
            session.find(Note, **{name: "x"})
        with pytest.raises((RedisormError, TypeError)):
            session.get_by(Note, **{name: "x"})


def test_glob_characters_in_a_namespace_find_no_others_rows(server: Server) -> None:
    with Database(server.url, namespace="[ab]?*") as odd, Database(server.url, namespace="a1x") as other:
        for db, name in ((odd, "odd"), (other, "other")):
            with Session.begin(db) as session:
                session.add(User(id=1, name=name))
        for db, name in ((odd, "odd"), (other, "other")):
            with Session(db) as session:
                assert [user.name for user in session.find(User).all()] == [name]


@pytest.mark.parametrize("name", ["a{b}", "a\0b", "{", "}"])
def test_namespace_that_could_move_keys_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        Database("memory://", namespace=name)
