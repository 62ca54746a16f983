"""A session over a scripted server: what it holds, what waits in it, what a commit sends, and when states move."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import ValidationError, field_validator

from redisorm import (
    ConcurrentUpdateError,
    Database,
    DecodeError,
    DetachedInstanceError,
    Field,
    MappingError,
    NotFoundError,
    RedisModel,
    Session,
    SessionError,
    SessionInUseError,
    StaleObjectError,
    UniqueViolationError,
)
from redisorm.commands import Batch, Pause
from redisorm.mapping.base import mapper_of
from redisorm.unitofwork import stack
from redisorm.unitofwork.state import Phase, state_of
from redisorm.unitofwork.unit import UnitOfWork
from tests.unit.desk import NOW, Desk, answering, async_session_on, atomic, look, row_of, session_on, stored, talk, texts_of
from tests.zoo.models import Account, Address, Board, Customer, Document, Numbers, Ticket, User

UPDATE = [b"1", None]
"""The reply to the guard of an update of row 1."""


def ann(pk: int = 1, **texts: Any) -> User:
    return stored(User, {"id": pk, "name": "Ann", "age": 30, **texts})


def texts(pk: int = 1, **fields: Any) -> list[Any]:
    return texts_of(User, {"id": pk, "name": "Ann", "age": 30, **fields})


def add_and_fail(session: Session, user: User) -> None:
    session.add(user)
    raise ZeroDivisionError


# ---- asking ---------------------------------------------------------------------------------------------------------


def test_row_has_one_object_however_often_it_is_asked_for() -> None:
    desk = Desk([[texts()]])
    session = session_on(desk)
    user = session.get(User, 1)
    assert session.get(User, 1) is user
    assert session.get_one(User, 1) is user
    assert session.get_many(User, [1, 1]) == [user, user]
    assert session.exists(User, 1)
    assert desk.round_trips == 1


def test_rows_that_are_known_are_not_asked_for_again_and_missing_ones_come_in_order() -> None:
    desk = Desk([[texts(2)], [texts(1), texts(3, name=None), [None] * 5], [0]])
    session = session_on(desk)
    two = session.get(User, 2)
    with pytest.raises(DecodeError, match="the required field 'name' is missing"):
        session.get_many(User, [1, 2, 3, 4])
    assert talk(desk)[1].commands == [("HMGET", f"user:{pk}", "id", "name", "age", "email", ":ttl") for pk in (1, 3, 4)]
    desk = Desk([[texts(3, name=None), [None] * 5, texts(1)], [0]])
    session = session_on(desk)
    session.add(cast("User", two).model_copy())
    broken, known, absent, first = session.get_many(User, [3, 2, 4, 1], on_error="return")
    assert isinstance(broken, DecodeError)
    assert known is session.get(User, 2)
    assert absent is None
    assert first is session.get(User, 1)


def test_what_becomes_of_errors_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match="on_error='ignore': write 'raise', or 'return'"):
        session_on(Desk()).get_many(User, [1], on_error=cast("Any", "ignore"))


def test_row_that_is_not_there_is_none_or_an_error_that_names_its_key() -> None:
    desk = Desk([[[None] * 5], [0], [[None] * 5], [0], [0]])
    session = session_on(desk)
    assert session.get(User, 7) is None
    with pytest.raises(NotFoundError, match="User 7 is not there: no row under user:7") as caught:
        session.get_one(User, 7)
    assert (caught.value.model, caught.value.pk, caught.value.key) == (User, 7, "user:7")
    assert session.exists(User, 7) is False
    assert talk(desk)[-1] == look(("EXISTS", "user:7"))


def test_added_object_is_found_and_a_deleted_one_is_not_without_asking() -> None:
    desk = Desk()
    session = session_on(desk)
    new, old = User(id=1, name="new"), ann(2)
    session.add(new)
    session.delete(old)
    assert session.get(User, 1) is new
    assert session.get(User, 2) is None
    assert session.get_many(User, [2, 1]) == [None, new]
    assert (session.exists(User, 1), session.exists(User, 2)) == (True, False)
    assert (new in session, old in session, "user" in session) == (True, False, False)
    assert (session.new, session.deleted) == ([new], [old])
    assert desk.round_trips == 0


def test_refresh_reads_in_place_and_drops_changes() -> None:
    desk = Desk([[texts()], [texts(name="Bea")]])
    session = session_on(desk)
    user = session.get_one(User, 1)
    user.age = 99
    session.refresh(user)
    assert (user.name, user.age, session.dirty) == ("Bea", 30, [])


def test_refresh_of_a_row_that_is_gone_is_told() -> None:
    desk = Desk([[texts()], [[None] * 5], [0]])
    session = session_on(desk)
    user = session.get_one(User, 1)
    with pytest.raises(NotFoundError):
        session.refresh(user)


@pytest.mark.parametrize("verb", ["refresh", "increment", "expire", "expunge"])
def test_object_of_nobody_has_to_be_added_first(verb: str) -> None:
    session = session_on(Desk())
    arguments = {"increment": ("age",), "expire": (60,)}.get(verb, ())
    with pytest.raises(DetachedInstanceError, match=r"this User \(1\) is not in the session: add\(\) it"):
        getattr(session, verb)(ann(), *arguments)


# ---- waiting work ---------------------------------------------------------------------------------------------------


def test_commit_of_nothing_sends_nothing() -> None:
    desk = Desk([[texts()]])
    session = session_on(desk)
    session.get(User, 1)
    assert session.commit() == (0, 0, 0)
    assert desk.round_trips == 1


def test_deletions_go_before_other_writes_so_that_a_key_can_change_hands() -> None:
    old, new = ann(), User(id=1, name="new")
    desk = Desk(answering([1], [b"hash"]))
    session = session_on(desk)
    session.delete(old)
    session.add(new)
    session.commit()
    assert talk(desk)[-1] == atomic(("UNLINK", "user:1"), ("HSET", "user:1", "id", 1, "name", "new", "age", 0))
    assert session.get(User, 1) is new
    assert state_of(old).phase is Phase.TRANSIENT


def test_object_that_was_only_added_is_forgotten_when_it_is_deleted() -> None:
    desk = Desk()
    session = session_on(desk)
    user = User(id=1, name="new")
    session.add(user)
    session.delete(user)
    assert (session.new, session.deleted, user in session) == ([], [], False)
    session.commit()
    assert desk.round_trips == 0


@pytest.mark.parametrize("give_up", [Session.delete, Session.expunge])
def test_row_stays_deleted_when_the_object_added_in_its_place_is_given_up(give_up: Callable[[Session, User], None]) -> None:
    user, instead = stored(User, {"id": 1, "name": "Ann"}), User(id=1, name="Bea")
    desk = Desk([[1]])
    with session_on(desk) as session:
        session.delete(user)
        session.add(instead)
        give_up(session, instead)
        assert session.get(User, 1) is None
        assert session.deleted == [user]
        assert talk(desk) == []
        session.commit()
    assert desk.commands == [("UNLINK", "user:1")]


def test_deleted_object_that_is_added_again_is_not_deleted() -> None:
    user = ann()
    desk = Desk([[UPDATE], [0]])
    session = session_on(desk)
    session.delete(user)
    session.add(user)
    user.age = 31
    session.commit()
    assert talk(desk)[-1] == atomic(("HSET", "user:1", "age", 31))


def test_increment_waits_for_the_commit_and_brings_back_the_servers_number() -> None:
    desk = Desk([[texts()], [[b"1", None, b"40"]], [0]])
    session = session_on(desk)
    user = session.get_one(User, 1)
    session.increment(user, "age", 2)
    session.increment(user, "age")
    assert (user.age, session.dirty) == (30, [user])
    session.commit()
    assert talk(desk)[1].commands == [("HMGET", "user:1", "id", ":ttl", "age")]
    assert talk(desk)[2] == atomic(("HSET", "user:1", "age", "43"))
    assert (user.age, session.dirty) == (43, [])


def test_increment_of_an_object_not_stored_yet_changes_it_here() -> None:
    session = session_on(Desk())
    user = User(id=1, name="new", age=1)
    session.add(user)
    session.increment(user, "age", 2)
    assert user.age == 3


def test_increment_of_an_object_not_stored_yet_counts_as_the_server_does() -> None:
    class Meter(RedisModel, prefix="meter", frozen=True):
        id: int
        count: int | None = Field(default=None, le=5)

        @field_validator("count")
        @classmethod
        def doubled(cls, value: int) -> int:
            return 2 * value

    session = session_on(Desk())
    meter = Meter(id=1)
    session.add(meter)
    session.increment(meter, "count", 2)
    session.increment(meter, "count")
    with pytest.raises(ValidationError, match="less than or equal to 5") as caught:
        session.increment(meter, "count", 3)
    assert caught.value.errors()[0]["loc"] == ("count",)
    assert (meter.count, meter.model_fields_set) == (3, {"id", "count"})


@pytest.mark.parametrize("verb", ["add", "delete", "refresh", "increment", "expire", "expunge"])
@pytest.mark.parametrize("strange", [[User(id=1, name="x")], User, Address(city="Oslo"), None], ids=["list", "class", "nested", "none"])
def test_what_is_no_object_of_a_model_is_refused(verb: str, strange: Any) -> None:
    arguments = {"increment": ("age",), "expire": (60,)}.get(verb, ())
    with pytest.raises(MappingError, match="is no object of a RedisModel"):
        getattr(session_on(Desk()), verb)(strange, *arguments)


def test_rolled_back_increment_is_not_done() -> None:
    desk = Desk([[texts()]])
    session = session_on(desk)
    user = session.get_one(User, 1)
    session.increment(user, "age")
    session.rollback()
    session.commit()
    assert desk.round_trips == 1


@pytest.mark.parametrize(
    ("model", "field"), [(User, "id"), (User, "name"), (User, "nothing"), (Customer, "home.city"), (Board, "tags"), (Document, "maybe")]
)
def test_only_a_number_of_the_row_itself_can_be_incremented(model: type[RedisModel], field: str) -> None:
    session = session_on(Desk())
    obj = stored(model, {"id": "1", "name": "Ann"}, *([[], [], []] if model is Board else []))
    session.add(obj)
    with pytest.raises(TypeError, match=f"{field} cannot be incremented: name a field of the class itself that holds a number"):
        session.increment(obj, field)


def test_life_given_in_a_session_is_written_and_remembered_with_the_row() -> None:
    desk = Desk(answering([UPDATE], [0]))
    session = session_on(desk)
    known, new = ann(), User(id=2, name="new")
    session.add(known)
    session.expire(known, 60)
    session.commit()
    session.add(new)
    session.expire(new, 1.5)
    session.commit()
    assert talk(desk)[1] == atomic(("HSET", "user:1", ":ttl", "60"), ("PEXPIREAT", "user:1", NOW + 60_000))
    assert talk(desk)[3].commands[0] == ("HSET", "user:2", "id", 2, "name", "new", "age", 0, ":ttl", "1.5")


def test_permanent_life_is_remembered_too() -> None:
    desk = Desk(answering([[b"1", b"60"]]))
    session = session_on(desk)
    known = ann()
    session.add(known)
    session.expire(known, None)
    session.commit()
    assert talk(desk)[1] == atomic(("HSET", "user:1", ":ttl", "-1"), ("PERSIST", "user:1"))


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_life_of_zero_or_less_or_without_measure_is_refused(ttl: float) -> None:
    session = session_on(Desk())
    with pytest.raises(ValueError, match="must be longer than zero and finite"):
        session.add(User(id=1, name="x"), ttl=ttl)
    with pytest.raises(ValueError, match="must be longer than zero and finite"):
        session.add_all([User(id=1, name="x")], ttl=ttl)
    assert session.new == []


def test_expunged_object_keeps_its_changes_and_nothing_of_it_is_written() -> None:
    desk = Desk([[texts()]])
    session = session_on(desk)
    user = session.get_one(User, 1)
    user.age = 99
    session.expunge(user)
    session.commit()
    assert (user.age, user in session, desk.round_trips) == (99, False, 1)
    assert state_of(user).phase is Phase.DETACHED


def test_rollback_puts_everything_back_to_what_was_loaded() -> None:
    desk = Desk([[texts(1), texts(2)]])
    session = session_on(desk)
    changed, deleted = session.get_many(User, [1, 2])
    assert changed is not None
    assert deleted is not None
    new = User(id=3, name="new")
    session.add(new)
    session.delete(deleted)
    changed.age = 99
    session.rollback()
    assert (changed.age, session.new, session.dirty, session.deleted) == (30, [], [], [])
    assert session.get_many(User, [1, 2]) == [changed, deleted]
    assert state_of(new).phase is Phase.TRANSIENT
    assert new not in session


def test_rollback_forgets_an_object_that_was_to_be_deleted_by_its_key_alone() -> None:
    session = session_on(Desk())
    unknown = User(id=1, name="never loaded")
    session.delete(unknown)
    session.rollback()
    assert (session.deleted, unknown in session) == ([], False)
    assert state_of(unknown).phase is Phase.TRANSIENT


def test_change_in_place_that_does_not_fit_is_dirty_refused_at_the_commit_and_rolled_back() -> None:
    desk = Desk([row_of(Board, {"id": 1}, [b"a"], [], [])])
    session = session_on(desk)
    board = session.get_one(Board, 1)
    board.tags.add(cast("Any", 3))
    assert session.dirty == [board]
    with pytest.raises(ValidationError):
        session.commit()
    assert desk.round_trips == 1
    session.rollback()
    assert (board.tags, session.dirty) == ({"a"}, [])


def test_failed_commit_moves_no_state_and_can_be_made_again() -> None:
    desk = Desk([[texts()], [[None, None]], [b"none"], [UPDATE], [0]])
    session = session_on(desk)
    user = session.get_one(User, 1)
    user.age = 31
    with pytest.raises(StaleObjectError, match="User 1 is gone"):
        session.commit()
    assert (session.dirty, user.age) == ([user], 31)
    session.commit()
    assert session.dirty == []
    desk.done()


def test_version_moves_with_each_commit() -> None:
    account = stored(Account, {"id": 1, "balance": 5}, [], version=7)
    desk = Desk(answering([[b"1", None, b"7", b"5"]], [[b"1", None, b"8"]]))
    session = session_on(desk)
    session.add(account)
    session.increment(account, "balance", 5)
    session.commit()
    account.owner = "Ann"
    session.commit()
    assert talk(desk)[1] == atomic(("HSET", "account:1", "balance", "10", ":version", 8))
    assert talk(desk)[3] == atomic(("HSET", "account:1", "owner", "Ann", ":version", 9))


def test_number_given_at_the_commit_makes_the_object_known_under_it() -> None:
    desk = Desk([[7], [0], [2]])
    session = session_on(desk)
    ticket = Ticket(title="x")
    session.add(ticket)
    assert session.new == [ticket]
    session.commit()
    assert session.get(Ticket, 7) is ticket
    assert desk.round_trips == 3


def test_key_assigned_after_an_object_was_added_is_the_one_it_is_stored_under() -> None:
    desk = Desk([[0], [3]])
    session = session_on(desk)
    user = User(id=1, name="x")
    session.add(user)
    user.id = 2
    session.commit()
    assert session.get(User, 2) is user
    assert talk(desk)[1].commands[0][1] == "user:2"


# ---- who belongs where ----------------------------------------------------------------------------------------------


def test_second_object_for_a_row_is_refused_unless_the_first_is_deleted() -> None:
    session = session_on(Desk())
    first, second = User(id=1, name="first"), User(id=1, name="second")
    session.add(first)
    with pytest.raises(SessionError, match="the session has another object for user:1: change that one"):
        session.add(second)
    session.expunge(first)
    session.add(second)
    assert session.new == [second]


def test_object_of_another_open_session_is_refused_and_of_a_closed_one_taken_in() -> None:
    one, other = session_on(Desk()), session_on(Desk())
    user = User(id=1, name="x")
    one.add(user)
    with pytest.raises(SessionError, match=r"belongs to another open session: expunge\(\) it there first"):
        other.add(user)
    one.close()
    other.add(user)
    assert user in other


def test_object_stored_in_another_namespace_is_a_row_of_that_one() -> None:
    desk = Desk()
    desk.namespace = "shop"
    session = session_on(desk)
    with pytest.raises(SessionError, match=r"was stored under user:1, which is shop:user:1 here: model_copy\(\) it"):
        session.add(ann())


def test_class_with_a_database_of_its_own_joins_only_sessions_on_that_one() -> None:
    own = Desk([[[b"1", None]]])

    class Elsewhere(RedisModel, prefix="elsewhere", database=own):
        id: int

    stranger = session_on(Desk())
    for attempt in (
        lambda: stranger.add(Elsewhere(id=1)),
        lambda: stranger.add_all([Elsewhere(id=1)]),
        lambda: stranger.get(Elsewhere, 1),
        lambda: stranger.exists(Elsewhere, 1),
    ):
        with pytest.raises(SessionError, match="Elsewhere has a database of its own: use a session on <tests"):
            attempt()
    assert session_on(own).get(Elsewhere, 1) == Elsewhere(id=1)


def test_session_in_use_by_another_is_refused_and_free_again_afterwards() -> None:
    session = session_on(Desk([[texts()]]))
    with session._alone(), pytest.raises(SessionInUseError, match="in use by another thread or task"):
        session.get(User, 1)
    assert session.get(User, 1) is not None


def test_closed_session_does_nothing_any_more() -> None:
    session = session_on(Desk())
    user = User(id=1, name="x")
    session.add(user)
    session.close()
    session.close()
    assert state_of(user).phase is Phase.TRANSIENT
    for attempt in (lambda: session.add(user), session.commit, session.rollback, lambda: session.get(User, 1), session.__enter__):
        with pytest.raises(SessionError, match="this session is closed: open a new one"):
            attempt()


def test_closing_lets_go_of_loaded_objects_as_they_were_loaded() -> None:
    session = session_on(Desk([[texts()]]))
    user = session.get_one(User, 1)
    user.age = 99
    session.close()
    assert (user.age, user in session, state_of(user).phase) == (30, False, Phase.DETACHED)


def test_object_of_a_closed_session_may_be_added_to_another_one() -> None:
    first, second = session_on(Desk([[texts()], [UPDATE]])), session_on(Desk())
    user = first.get_one(User, 1)
    first.close()
    assert state_of(user).session is None
    second.add(user)
    assert (user in first, user in second, state_of(user).phase) == (False, True, Phase.PERSISTENT)
    user.age = 31
    assert second.dirty == [user]
    second.expunge(user)
    assert state_of(user).phase is Phase.DETACHED


def test_change_among_many_stored_and_new_objects_is_found() -> None:
    session = session_on(Desk([[texts(pk) for pk in range(5)]]))
    users = cast("list[User]", session.get_many(User, range(5)))
    session.add_all([User(id=pk, name="new") for pk in range(5, 9)])
    assert session.dirty == []
    users[3].age = 99
    assert session.dirty == [users[3]]
    session.rollback()
    assert (users[3].age, session.dirty, session.new) == (30, [], [])


# ---- entering and leaving -------------------------------------------------------------------------------------------


def test_leaving_with_waiting_work_discards_it_and_warns_with_the_counts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "redisorm"), session_on(Desk([[texts(2)]])) as session:
        session.add(User(id=1, name="x"))
        session.get_one(User, 2).age = 99
        session.delete(ann(3))
        session._ride(("PUBLISH", "channel", "text"))
    assert [record.getMessage() for record in caplog.records] == [
        "a session was left with uncommitted work, which was discarded: 1 new, 1 changed, 1 to delete, 1 to send; call commit()"
    ]


def test_leaving_by_an_exception_or_with_nothing_waiting_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "redisorm"):
        with session_on(Desk()):
            pass
        with pytest.raises(ZeroDivisionError), session_on(Desk()) as session:
            add_and_fail(session, User(id=1, name="x"))
    assert caplog.records == []


def test_begin_commits_at_the_end_of_the_block() -> None:
    desk = Desk([[0], [3], [0], [3]])
    with Session.begin(cast("Database", desk)) as session:
        session.add(User(id=1, name="x"))
    with session_on(desk) as other, other.begin() as same:
        assert same is other
        same.add(User(id=2, name="x"))
    assert [request.commands[0][1] for request in talk(desk) if isinstance(request, Batch)] == ["user:1", "user:2"]
    desk.done()


def test_begin_discards_where_the_block_fails() -> None:
    desk = Desk()
    user = User(id=1, name="x")
    with pytest.raises(ZeroDivisionError), session_on(desk) as session, session.begin():
        add_and_fail(session, user)
    with pytest.raises(ZeroDivisionError), Session.begin(cast("Database", desk)) as session:
        add_and_fail(session, user)
    assert desk.round_trips == 0
    assert state_of(user).phase is Phase.TRANSIENT


def test_begin_of_an_awaited_session_does_the_same() -> None:
    desk = Desk([[0], [3]])

    async def work() -> None:
        async with async_session_on(desk) as session, session.begin() as same:
            assert same is session
            session.add(User(id=1, name="x"))

    asyncio.run(work())
    assert talk(desk)[1].commands[0][1] == "user:1"


def test_coroutine_function_is_refused_where_its_work_would_be_lost() -> None:
    desk = Desk()

    async def work(session: Session) -> None:
        session.add(User(id=1, name="x"))

    with pytest.raises(TypeError, match=r"Session.retry: .*work.* is a coroutine function.*use AsyncSession.retry"):
        _ = Session.retry(work, cast("Database", desk))
    assert desk.round_trips == 0


@pytest.mark.parametrize("error", [StaleObjectError("gone"), ConcurrentUpdateError("raced")], ids=["stale", "raced"])
def test_unit_of_work_is_done_again_on_a_conflict_that_trying_again_can_cure(error: Exception) -> None:
    desk = Desk()
    failures = [error, error]

    def work(session: Session) -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert Session.retry(work, cast("Database", desk)) == "done"
    assert desk.requests == [Pause(0.004), Pause(0.008)]


def test_conflict_that_would_come_again_and_the_last_one_are_told() -> None:
    desk = Desk()
    attempts: list[Session] = []

    def work(session: Session) -> None:
        attempts.append(session)
        raise UniqueViolationError("taken") if len(attempts) == 1 else StaleObjectError("gone")

    with pytest.raises(UniqueViolationError):
        Session.retry(work, cast("Database", desk))
    with pytest.raises(StaleObjectError):
        Session.retry(work, cast("Database", desk), attempts=3)
    assert len(attempts) == 1 + 3
    assert not any(session.is_open for session in attempts)
    with pytest.raises(ValueError, match="at least one attempt"):
        Session.retry(work, cast("Database", desk), attempts=0)


# ---- which session is the current one -------------------------------------------------------------------------------


class Elsewise(UnitOfWork):
    """A session of another colour."""


def test_current_session_is_the_innermost_open_one_of_its_place_colour_and_database() -> None:
    shop, store = Desk(), Desk()
    outer, inner, other, foreign = UnitOfWork(shop), UnitOfWork(shop), UnitOfWork(store), Elsewise(shop)
    for session in (outer, inner, other):
        session._enter("here")
    foreign._enter("here")
    UnitOfWork(shop)._enter("there")
    assert stack.has_entries()
    assert stack.innermost(Elsewise, "here", None) is foreign
    assert stack.innermost(UnitOfWork, "here", shop) is foreign
    foreign.close()
    assert stack.innermost(UnitOfWork, "here", None) is other
    assert stack.innermost(UnitOfWork, "here", shop) is inner
    assert stack.innermost(UnitOfWork, "nowhere", None) is None
    inner.is_open = False  # closed in another context, which cannot reach the entry here
    assert stack.innermost(UnitOfWork, "here", shop) is outer
    for session in (other, outer):
        session.close()
    assert stack.innermost(UnitOfWork, "here", None) is None


def test_closed_sessions_are_cleared_away_when_the_next_is_entered() -> None:
    left = UnitOfWork(Desk())
    left._enter("here")
    left.is_open = False
    with session_on(Desk()) as session:
        assert [entry[0] for entry in stack._entered.get() if entry[0] in (left, session)] == [session]


# ---- objects that nobody holds --------------------------------------------------------------------------------------


def test_object_dropped_by_its_user_with_a_change_in_it_is_still_written() -> None:
    desk = Desk([[texts()], [UPDATE], [0]])
    session = session_on(desk)
    session.get_one(User, 1).age = 31
    gc.collect()
    session.commit()
    assert talk(desk)[-1] == atomic(("HSET", "user:1", "age", 31))


def test_clean_object_dropped_by_its_user_is_let_go_of() -> None:
    desk = Desk([[texts()], [texts(name="Bea")]])
    session = session_on(desk)
    dropped = weakref.ref(session.get_one(User, 1))
    gc.collect()
    assert dropped() is None
    assert session.get_one(User, 1).name == "Bea"


def test_many_clean_objects_dropped_by_their_user_are_let_go_of_and_loaded_anew() -> None:
    rows = [texts_of(User, {"id": pk, "name": "x"}) for pk in range(1, 6)]
    with session_on(Desk([rows, rows[1:]])) as session:
        found = session.get_many(User, range(1, 6))
        kept, gone = found[0], [weakref.ref(one) for one in found[1:] if one is not None]
        found.clear()
        gc.collect()
        assert [one() for one in gone] == [None] * 4
        assert list(session._map._seen[mapper_of(User)]) == ["user:1"]
        again = session.get_many(User, range(1, 6))
        assert again[0] is kept
        assert [one and one.pk for one in again] == [1, 2, 3, 4, 5]


def test_object_that_can_change_in_place_is_held_as_long_as_the_session() -> None:
    desk = Desk([row_of(Customer, {"id": 1, "home.city": "Oslo"}), [UPDATE], [0]])
    session = session_on(desk)
    session.get_one(Customer, 1).home.city = "Lima"
    gc.collect()
    session.commit()
    assert talk(desk)[-1] == atomic(("HSET", "customer:1", "home.city", "Lima"))


def test_changed_object_that_was_committed_is_let_go_of_again() -> None:
    desk = Desk([[texts()], [UPDATE], [0]])
    session = session_on(desk)
    user = session.get_one(User, 1)
    session.add(user, ttl=None)
    user.age = 31
    session.commit()
    dropped = weakref.ref(user)
    del user
    gc.collect()
    assert dropped() is None


# ---- restoring ------------------------------------------------------------------------------------------------------


def test_rollback_restores_nested_models_in_place_and_collections_anew() -> None:
    desk = Desk(
        [
            row_of(Customer, {"id": 1, "address.city": "Oslo", "home.city": "Rome"}),
            row_of(Document, {"id": "d", "meta": '{"a": [1]}', "address": '{"city":"Oslo"}'}),
            row_of(Board, {"id": 1}, [b"a"], [b"j"], [[b"m", 1.0]]),
        ]
    )
    session = session_on(desk)
    customer = session.get_one(Customer, 1)
    document = session.get_one(Document, "d")
    board = session.get_one(Board, 1)
    address, home = customer.address, customer.home
    assert address is not None
    address.city, customer.home = "Lima", Address(city="Pune")
    document.meta["a"].append(2)
    document.history.append(3)
    board.tags.clear()
    board.jobs.append("k")
    board.scores.add("n", 2)
    session.rollback()
    assert (address.city, customer.address, customer.home) == ("Oslo", address, home)
    assert (document.meta, document.history, document.address) == ({"a": [1]}, [], Address(city="Oslo"))
    assert (board.tags, board.jobs, dict(board.scores)) == ({"a"}, ["j"], {"m": 1.0})
    assert session.dirty == []


def test_rollback_puts_further_fields_back() -> None:
    class Open(RedisModel, prefix="open_of_sessions", extra="allow"):
        id: int

    desk = Desk([[{b"id": b"1", b"x": b"[1]"}]])
    session = session_on(desk)
    one = session.get_one(Open, 1)
    extra = one.__pydantic_extra__
    assert extra is not None
    extra["x"].append(2)
    extra["y"] = 3
    assert session.dirty == [one]
    session.rollback()
    assert (one.__pydantic_extra__, session.dirty) == ({"x": [1]}, [])


def test_rollback_restores_a_nested_model_that_was_not_there() -> None:
    desk = Desk([row_of(Customer, {"id": 1, "home.city": "Rome"})])
    session = session_on(desk)
    customer = session.get_one(Customer, 1)
    customer.address = Address(city="Lima")
    session.rollback()
    assert customer.address is None


def test_rolled_back_numbers_are_those_of_the_server() -> None:
    desk = Desk([[texts_of(Numbers, {"id": 1, "hits": 5})], [[b"1", None, b"7"]], [0]])
    session = session_on(desk)
    numbers = session.get_one(Numbers, 1)
    session.increment(numbers, "hits")
    session.commit()
    numbers.hits = 99
    session.rollback()
    assert numbers.hits == 8
