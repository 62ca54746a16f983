"""Many rows where no script may run: queued behind MULTI while what they are taken to be is read under WATCH, else looked at one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from redisorm import ConflictError, Field, IndexValueError, RedisModel, Session, StaleObjectError, WrongTypeError
from redisorm.commands import Batch, Watch
from redisorm.errors import ConnectionFailedError
from redisorm.flows.committing import CommitResult
from redisorm.flows.guarding import Ownership
from redisorm.unitofwork.state import Phase, state_of
from tests.unit.desk import Desk, answering, atomic, session_on, stored, talk
from tests.zoo.models import Board, User

OWNED = Ownership("stream:orders", "billing", "worker-1", "5-0", "stream:orders::billing:claims")
PENDING = ("XPENDING", "stream:orders", "billing", "5-0", "5-0", 1)
KEYS = [f"user:{pk}" for pk in range(4)]
LOOK = [("EXISTS", *KEYS), *(("HMGET", key, ":ttl") for key in KEYS)]
AS_LOADED: list[Any] = [4, [None], [None], [None], [None]]
EACH: list[Any] = [[b"%d" % pk, None] for pk in range(4)]


class City(RedisModel, prefix="city"):
    """Rows in indexes."""

    id: int
    land: str | None = Field(default=None, index=True)
    size: int = Field(default=0, index=True)


class Page(RedisModel, prefix="page", versioned=True):
    """A versioned row."""

    id: int
    text: str = ""


class Rated(RedisModel, prefix="rated"):
    """An index that does not hold every number."""

    id: int
    rate: float = Field(default=0, index=True)


def users() -> list[User]:
    return [stored(User, {"id": pk, "name": "n"}) for pk in range(4)]


def cities() -> list[City]:
    return [stored(City, {"id": pk, "land": "no" if pk else None, "size": pk}) for pk in range(4)]


def boards() -> list[Board]:
    return [stored(Board, {"id": pk, "name": "n"}, [b"a"], [], []) for pk in range(4)]


def renaming(objects: Sequence[Any], *looks: Any) -> tuple[Desk, Session]:
    """A session in which the names of objects are new, and what its server answers to what is read."""
    desk = Desk(answering(*looks))
    session = session_on(desk)
    session.add_all(objects)
    for obj in objects:
        obj.name = "new"
    return desk, session


def names_set(*keys: str) -> list[tuple[str, ...]]:
    return [("HSET", key, "name", "new") for key in keys]


# ---- as it was taken to be ----------------------------------------------------------------------------------------------


def test_changed_rows_must_be_there_without_a_life_of_their_own() -> None:
    objects = users()
    desk, session = renaming(objects, AS_LOADED)
    assert session.commit() == CommitResult(commands=1 + 5 + 4 + 2, round_trips=2, objects=4)
    assert talk(desk) == [Watch(KEYS, LOOK), atomic(*names_set(*KEYS))]
    assert session.dirty == []


def test_rows_in_indexes_must_be_as_loaded_which_tells_that_they_are_there() -> None:
    desk = Desk(answering([0, [b"0", None, None], *([b"no", b"%d" % pk, None] for pk in (1, 2, 3))]))
    session = session_on(desk)
    session.add_all(objects := cities())
    for city in objects:
        city.land, city.size = "se", 7
    assert session.commit().round_trips == 2
    watch, write = talk(desk)
    assert isinstance(watch, Watch)
    memos, keys = [f"city:{pk}::memo" for pk in range(4)], [f"city:{pk}" for pk in range(4)]
    assert watch.keys == memos + keys
    fields = [("size", ":ttl", "land"), *[("land", "size", ":ttl")] * 3]
    assert watch.commands == [("EXISTS", *memos), *(("HMGET", key, *names) for key, names in zip(keys, fields, strict=True))]
    assert write.commands[:4] == [("HSET", key, "land", "se", "size", 7) for key in keys]
    assert {command[:2] for command in write.commands[4:]} == {
        ("ZREM", "city::land:"),
        ("ZREM", "city::land:no"),
        ("ZADD", "city::land:se"),
        ("ZADD", "city::size"),
    }


def test_versioned_rows_must_have_their_versions_and_get_the_next_ones() -> None:
    desk = Desk(answering([[b"7", None]] * 4))
    session = session_on(desk)
    session.add_all(pages := [stored(Page, {"id": pk, "text": "old"}, version=7) for pk in range(4)])
    for page in pages:
        page.text = "new"
    session.commit()
    assert talk(desk)[1] == atomic(*(("HSET", f"page:{pk}", "text", "new", ":version", 8) for pk in range(4)))
    assert [state_of(page).version for page in pages] == [8] * 4


def test_collections_that_are_written_are_watched_and_must_be_of_their_types_or_absent() -> None:
    desk = Desk(answering([b"set", b"set", b"set", b"none", 4, [None], [None], [None], [None]]))
    session = session_on(desk)
    session.add_all(objects := boards())
    for board in objects:
        board.tags.add("b")
    session.commit()
    watch, write = talk(desk)
    assert isinstance(watch, Watch)
    assert set(watch.keys) == {*(f"board:{pk}" for pk in range(4)), *(f"board:{pk}:tags" for pk in range(4))}
    assert watch.commands[:4] == [("TYPE", f"board:{pk}:tags") for pk in range(4)]
    assert write == atomic(*(("SADD", f"board:{pk}:tags", b"b") for pk in range(4)))


def test_rows_that_nobody_looks_at_before_are_deleted_in_one_round_trip() -> None:
    desk = Desk(answering())
    session = session_on(desk)
    for user in (objects := users()):
        session.delete(user)
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=4)
    assert talk(desk) == [atomic(("UNLINK", *KEYS))]
    assert [state_of(user).phase for user in objects] == [Phase.TRANSIENT] * 4
    assert session.deleted == []


def test_deleted_rows_in_indexes_must_be_as_loaded() -> None:
    desk = Desk(answering([0, [b"0", None, None], *([b"no", b"%d" % pk, None] for pk in (1, 2, 3))]))
    session = session_on(desk)
    for city in cities():
        session.delete(city)
    session.commit()
    watch, write = talk(desk)
    assert isinstance(watch, Watch)
    assert watch.keys == [*(f"city:{pk}::memo" for pk in range(4)), *(f"city:{pk}" for pk in range(4))]
    assert write.commands[0] == ("UNLINK", *(f"city:{pk}" for pk in range(4)))


def test_new_changed_and_deleted_rows_are_one_transaction_with_those_that_are_changes_of_their_own() -> None:
    desk = Desk(answering([0, [b"9", None, b"0"], *AS_LOADED]))
    session = session_on(desk)
    session.add_all(changed := users())
    session.add_all([User(id=pk, name="n") for pk in range(4, 8)])
    for board in (gone := boards()):
        session.delete(board)
    lone = stored(User, {"id": 9, "name": "n"})
    session.add(lone)
    session.increment(lone, "age", 3)
    for user in changed:
        user.name = "new"
    assert session.commit().objects == len(changed) + 4 + len(gone) + 1
    watch, write = talk(desk)
    assert isinstance(watch, Watch)
    new = [f"user:{pk}" for pk in range(4, 8)]
    assert watch.keys == ["user:9", *new, *KEYS]
    assert watch.commands == [("EXISTS", *new), ("HMGET", "user:9", "id", ":ttl", "age"), *LOOK]
    assert [command[:2] for command in write.commands] == [
        *(("HSET", key) for key in (*new, *KEYS)),
        ("HSET", "user:9"),
        ("UNLINK", "board:0"),
    ]


def acknowledging(*looks: Any) -> tuple[Desk, Session]:
    desk, session = renaming(users(), *looks)
    session._acknowledge(("XACK", "stream:orders", "billing", "5-0"), OWNED)
    return desk, session


def test_entry_must_still_be_its_workers_and_is_watched_by_the_count_of_claims() -> None:
    desk, session = acknowledging([[[b"5-0", b"worker-1", 1234, 1]], b"stream", *AS_LOADED])
    session.commit()
    watch, write = talk(desk)
    assert watch == Watch([OWNED.claims, *KEYS], [PENDING, ("TYPE", "stream:orders"), *LOOK])
    assert write == atomic(*names_set(*KEYS), ("XACK", "stream:orders", "billing", "5-0"))


# ---- otherwise ----------------------------------------------------------------------------------------------------------


def test_what_is_otherwise_has_each_looked_at() -> None:
    for other in ([3, *[[None]] * 4], [4, [None], [b"60"], [None], [None]], WrongTypeError("WRONGTYPE")):
        desk, session = renaming(users(), other, EACH)
        session.commit()
        assert [type(request) for request in talk(desk)] == [Watch, Watch, Batch]
        assert talk(desk)[1] == Watch(KEYS, [("HMGET", key, "id", ":ttl") for key in KEYS])
        assert talk(desk)[2] == atomic(*names_set(*KEYS))
        assert session.dirty == []


def test_collection_of_another_type_is_told_and_nothing_is_written() -> None:
    each = [reply for pk in range(4) for reply in ([b"%d" % pk, None], b"string" if pk == 2 else b"set", -1)]
    desk = Desk(answering([b"set", b"set", b"string", b"set", *AS_LOADED], each))
    session = session_on(desk)
    session.add_all(objects := boards())
    for board in objects:
        board.tags.add("b")
    with pytest.raises(WrongTypeError, match="board:2:tags"):
        session.commit()
    assert [type(request) for request in talk(desk)] == [Watch, Watch]


def test_version_that_moved_meanwhile_is_told_and_nothing_is_written() -> None:
    there = [[b"7", None], [b"7", None], [b"9", None], [b"7", None]]
    desk = Desk(answering(there, [[b"%d" % pk, None, version] for pk, (version, _) in enumerate(there)]))
    session = session_on(desk)
    session.add_all(pages := [stored(Page, {"id": pk}, version=7) for pk in range(4)])
    for page in pages:
        page.text = "new"
    with pytest.raises(StaleObjectError, match="version 7 was expected under page:2, 9 found"):
        session.commit()
    assert [type(request) for request in talk(desk)] == [Watch, Watch]


def test_entry_of_another_worker_is_told_and_nothing_is_written() -> None:
    taken: list[Any] = [[[b"5-0", b"worker-2", 1, 2]], b"stream"]
    desk, session = acknowledging([*taken, *AS_LOADED], [*taken, *EACH])
    with pytest.raises(ConflictError, match="it is worker-2's now"):
        session.commit()
    assert [type(request) for request in talk(desk)] == [Watch, Watch]


def test_row_that_changes_meanwhile_has_each_looked_at() -> None:
    answers = iter([AS_LOADED, None, EACH, [0] * 4])
    desk = Desk(lambda _: next(answers))
    session = session_on(desk)
    session.add_all(objects := users())
    for user in objects:
        user.name = "new"
    assert session.commit().objects == 4
    assert [type(request) for request in talk(desk)] == [Watch, Batch, Watch, Batch]
    assert session.dirty == []


def test_connection_that_broke_before_anything_was_executed_has_each_looked_at() -> None:
    desk, session = renaming(users(), ConnectionFailedError("it broke"), EACH)
    session.commit()
    assert talk(desk)[2] == atomic(*names_set(*KEYS))


def test_more_rows_than_may_be_watched_with_their_memos_are_left_to_the_general_way() -> None:
    known = [[b"%d" % pk, None, b"no" if pk else None, b"%d" % pk] for pk in range(4)]
    desk = Desk(answering([answer for texts in known for answer in (texts, -1, [])]), watch_limit=7)
    session = session_on(desk)
    session.add_all(objects := cities())
    for city in objects:
        city.size = 7
    session.commit()
    assert isinstance(talk(desk)[0], Watch)
    assert talk(desk)[0].commands[0] == ("HMGET", "city:0", "id", ":ttl", "land", "size")


# ---- values that no index holds -----------------------------------------------------------------------------------------


def test_value_that_no_index_holds_is_told_and_nothing_is_executed() -> None:
    desk = Desk(answering([0]))
    session = session_on(desk)
    session.add_all([Rated(id=pk, rate=float("nan") if pk == 2 else 1.0) for pk in range(4)])
    with pytest.raises(IndexValueError, match="rated:2"):
        session.commit()
    assert not any(isinstance(request, Batch) for request in talk(desk))


def test_value_that_no_index_holds_is_told_beside_rows_that_are_looked_at() -> None:
    look = [0, [b"9", None, b"0"]]
    desk = Desk(answering(look, look))
    session = session_on(desk)
    lone = stored(User, {"id": 9, "name": "n"})
    session.add(lone)
    session.increment(lone, "age", 3)
    session.add_all([Rated(id=pk, rate=float("nan") if pk == 2 else 1.0) for pk in range(4)])
    with pytest.raises(IndexValueError, match="rated:2"):
        session.commit()
    assert not any(isinstance(request, Batch) for request in talk(desk))
