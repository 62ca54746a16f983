"""What unit tests of flows share: sessions over scripted answers, and stored objects without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, cast

from redisorm import AsyncSession, Database, Session
from redisorm.commands import Batch, Command, Watch
from redisorm.drivers.scripted import Script, ScriptedDriver
from redisorm.flows import lonerow, richrow, riding
from redisorm.flows.changes import Change
from redisorm.flows.committing import CommitResult
from redisorm.keys import LIFE, VERSION
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.mapping.encoder import as_bytes
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import Phase, state_of
from redisorm.unitofwork.work import change_of

M = TypeVar("M", bound=MappedModel)

NOW = 1_700_000_000_000
"""The time of the scripted server, in milliseconds."""


class Desk(ScriptedDriver):
    """A scripted driver where a session wants a database."""

    namespace = ""


def session_on(desk: ScriptedDriver) -> Session:
    """A session whose server is a script."""
    return Session(cast("Database", desk))


def async_session_on(desk: ScriptedDriver) -> AsyncSession:
    """An awaited session whose server is a script."""
    return AsyncSession(cast("Database", desk))


def change_to(obj: MappedModel) -> Change | None:
    """What a commit of an object would be asked to do."""
    return change_of(obj, state_of(obj), "")


def talk(driver: ScriptedDriver) -> list[Batch | Watch]:
    """What was sent, one round trip each."""
    return [request for request in driver.requests if isinstance(request, (Batch, Watch))]


def atomic(*commands: Sequence[Any]) -> Batch:
    """What one MULTI/EXEC would be."""
    return Batch(list(commands), atomic=True)


def look(*commands: Sequence[Any]) -> Batch:
    """What one pipeline of reads would be."""
    return Batch(list(commands), resend=True)


def reads(*commands: Sequence[Any]) -> Batch:
    """What reads rows: a pipeline of one command, or one MULTI/EXEC, whose refusals stand in their places."""
    return Batch(list(commands), atomic=len(commands) > 1, resend=True, partial=True)


class ScriptCall(NamedTuple):
    """One call of the commit's script, read apart.

    Attributes:
        keys: The declared keys.
        absent: Those of them that must be absent.
        types: The types that keys must have, if they are there.
        rows: Hashes by their HMGET, with the texts they must have.
        reads: Other reads, with the replies they must have, spelled.
        tables: New rows: fields, keys and the values row by row.
        loaded: The same of rows that are there, and are among `rows` as they must be.
        writes: The other writes.
        entered: The index entries it works out by itself: key, score and member.
        deadlines: When rows of tables expire, by key.
        entry: The stream, group, consumer and id of the entry that must be pending, where a call for few commands says so.
    """

    keys: list[str]
    absent: list[str]
    types: dict[str, str]
    rows: list[tuple[Command, list[bytes]]]
    reads: list[tuple[Command, bytes]]
    tables: list[tuple[list[Any], list[str], list[Any]]]
    writes: list[Command]
    entry: tuple[str, ...] = ()
    entered: list[tuple[Any, Any, Any]] = []
    loaded: list[tuple[list[Any], list[str], list[Any]]] = []
    deadlines: dict[str, Any] = {}


def script_call(request: Batch | Watch) -> ScriptCall:
    """Read a call of the commit's script apart, or of one of those for a lone row and for few commands."""
    (command,) = request.commands
    if command[1] == lonerow.SCRIPT.sha:
        return _lone_row(list(command[2:]))
    if command[1] == riding.SCRIPT.sha:
        return _few_commands(list(command[2:]))
    if command[1] == richrow.SCRIPT.sha:
        return _rich_row(list(command[2:]))
    words: Any = iter(command[2:])

    def take(count: int) -> list[Any]:
        return [next(words) for _ in range(count)]

    keys = take(next(words))
    absent = keys[: next(words)]
    call = ScriptCall(keys, absent, dict(take(2) for _ in range(next(words))), [], [], [], [], entered=[], loaded=[], deadlines={})
    for _ in range(next(words)):
        count = int(next(words))
        call.rows.append((tuple(take(count + 2)), take(count)))
    call.reads.extend((tuple(take(int(next(words)))), next(words)) for _ in range(next(words)))
    for _ in range(next(words)):
        fields = take(next(words))
        first, count, deadline = take(3)
        must = take(next(words))
        there = next(words)
        words_of_rows = take(there * count)
        member, indexes = take(2)
        derived = [(*take(2), take(next(words))) for _ in range(indexes)]
        values = take(len(fields) * count)
        row_keys = keys[first - 1 : first - 1 + count]
        (call.loaded if must else call.tables).append((fields, row_keys, values))
        call.deadlines.update(dict.fromkeys(row_keys, deadline) if deadline else {})
        for row, key in enumerate(row_keys if must else ()):
            held = [b"=" + as_bytes(text) for text in words_of_rows[row * there : (row + 1) * there]]
            call.rows.append((("HMGET", key, *must), held + [b"-"] * (len(must) - there)))
        for how, place, named in derived:
            rows = [values[start : start + len(fields)] for start in range(0, len(values), len(fields))]
            under = dict(zip(named[::2], named[1::2], strict=True)) if how == "value" else {}
            for one in rows:
                text = one[place - 1] if place else None
                score = text if how == "score" else str(deadline or "inf")
                call.entered.append((under[text] if how == "value" else named[0], score, one[member - 1]))
    call.writes.extend(tuple(take(int(next(words)))) for _ in range(next(words)))
    assert list(words) == []
    return call


def _lone_row(words: list[Any]) -> ScriptCall:
    key_count = int(words[0])
    keys, rest = words[1 : 1 + key_count], words[1 + key_count :]
    row, *memo = keys[:2]
    count, gone, rest = int(rest[0]), int(rest[1]), rest[2:]
    names, texts, rest = rest[:count], [str(text).encode() for text in rest[count : 2 * count]], rest[2 * count :]
    unsets, rest = rest[:gone], rest[gone:]
    moves, sets = rest[: 2 * len(keys[2:])], rest[2 * len(keys[2:]) :]
    entries = zip(keys[2:], moves[::2], moves[1::2], strict=True)
    writes: list[Command] = [("ZREM", key, member) if score == "" else ("ZADD", key, score, member) for key, score, member in entries]
    if not count:
        return ScriptCall(keys, [row, *memo], {}, [], [], [(list(sets[::2]), [row], list(sets[1::2]))], writes)
    reads: list[tuple[Command, bytes]] = [(("EXISTS", key), b":0") for key in memo]
    writes[:0] = [("HDEL", row, *unsets)] if unsets else []
    writes[:0] = [("HSET", row, *sets)] if sets else []
    return ScriptCall(keys, [], {}, [(("HMGET", row, *names), texts)], reads, [], writes)


def _rich_row(words: list[Any]) -> ScriptCall:
    keys, rest = words[1 : words[0] + 1], iter(words[words[0] + 1 :])

    def take(count: int) -> list[Any]:
        return [next(rest) for _ in range(count)]

    absent = keys[: next(rest)]
    rows: list[tuple[Command, list[bytes]]] = []
    for _ in range(next(rest)):
        key, count = take(2)
        fields, texts = take(count), [as_bytes(text) for text in take(count)]
        rows.append((("HMGET", key, *fields), texts))
    writes: list[Command] = [tuple(take(next(rest))) for _ in range(next(rest))]
    assert list(rest) == []
    return ScriptCall(keys, absent, {}, rows, [], [], writes)


def _few_commands(words: list[Any]) -> ScriptCall:
    keys, rest = words[1 : words[0] + 1], iter(words[words[0] + 1 :])

    def take(count: int) -> list[Any]:
        return [next(rest) for _ in range(count)]

    count = next(rest)
    row = take(next(rest))
    call = _lone_row([count, *keys[:count], *row]) if count else ScriptCall([], [], {}, [], [], [], [])
    types = dict(take(2) for _ in range(next(rest)))
    entry = tuple(filter(None, take(4)))
    writes = [tuple(take(next(rest))) for _ in range(next(rest))]
    assert list(rest) == []
    return call._replace(keys=keys, types=types, entry=entry, writes=[*call.writes, *writes])


def agreeing(request: Batch | Watch) -> list[Any]:
    """The answer of a server on which a script finds everything as expected: 1 for each write, and nothing is due to be swept."""
    if request.commands[0][1] in (lonerow.SCRIPT.sha, riding.SCRIPT.sha):
        return [1]
    if request.commands[0][1] == richrow.SCRIPT.sha:
        return [[] if script_call(request).writes[-1][0] == "ZRANGE" else 1]
    return [[[] if command[0] == "ZRANGE" else 1 for command in script_call(request).writes]]


def answering(*looks: Any) -> Script:
    """The answers of a server that has these for what is read, in order, and writes what it is told: nothing is due to be swept."""
    rest = list(looks)

    def answer(request: Batch | Watch) -> Any:
        if isinstance(request, Watch) or request.resend or not request.atomic:
            return rest.pop(0)
        return [[] if command[0] == "ZRANGE" else 1 for command in request.commands]

    return answer


def desk_that_agrees(*looks: Any) -> Desk:
    """A server that runs scripts and finds everything as expected; `looks` are the answers to what is read beside."""
    other = answering(*looks)
    assert callable(other)
    return Desk(lambda request: agreeing(request) if request.commands[0][0] == "EVALSHA" else other(request), supports={"EVALSHA": True})


def desk_that_finds_otherwise(*looks: Any) -> Desk:
    """A server on which the script writes nothing; `looks` are the answers to what is read then."""
    other = answering(*looks)
    assert callable(other)
    return Desk(lambda request: [None] if request.commands[0][0] == "EVALSHA" else other(request), supports={"EVALSHA": True})


def holding(objects: Sequence[MappedModel]) -> tuple[Desk, Session]:
    """A server that agrees, and a session with objects in it."""
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all(objects)
    return desk, session


def committed(objects: list[M], **values: Any) -> ScriptCall:
    """What is sent when all objects are given the same values."""
    desk, session = holding(objects)
    for obj in objects:
        for name, value in values.items():
            setattr(obj, name, value)
    session.commit()
    (request,) = talk(desk)
    return script_call(request)


def deleted(objects: list[M]) -> ScriptCall:
    """What the script is told when all objects are deleted."""
    return script_call(deletion(objects))


def deletion(objects: list[M]) -> Batch | Watch:
    """What is sent when all objects are deleted."""
    desk = desk_that_agrees()
    session = session_on(desk)
    for obj in objects:
        session.delete(obj)
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=len(objects))
    assert [state_of(obj).phase for obj in objects] == [Phase.TRANSIENT] * len(objects)
    assert session.deleted == []
    (sent,) = talk(desk)
    return sent


def scripting(answer: Script = agreeing, **options: Any) -> ScriptedDriver:
    """A server that runs scripts."""
    return ScriptedDriver(answer, supports={"EVALSHA": True}, **options)


def texts_of(
    model: type[MappedModel], fields: dict[str, Any], *, version: int | None = None, life: str | None = None
) -> list[bytes | None]:
    """The reply to the HMGET of a load."""
    stored = {**fields, VERSION: version, LIFE: life}
    return [
        None if (text := stored.get(name)) is None else text if isinstance(text, bytes) else str(text).encode()
        for name in mapper_of(model).fields
    ]


def row_of(
    model: type[MappedModel], fields: dict[str, Any], *companions: Any, version: int | None = None, life: str | None = None
) -> list[Any]:
    """The replies to the load of one row."""
    return [texts_of(model, fields, version=version, life=life), *companions]


def stored(model: type[M], fields: dict[str, Any], *companions: Any, version: int | None = None, life: str | None = None) -> M:
    """An object as if it had just been loaded from these texts, in no session."""
    driver = ScriptedDriver([row_of(model, fields, *companions, version=version, life=life)])
    return driver.run(verbs.get_one(model, fields[mapper_of(model).pk_name], ""))
