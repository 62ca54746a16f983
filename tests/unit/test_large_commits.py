"""Commits that guard more rows than a server can watch, commits that lose their races, and numbers that turn out to be taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redisorm import BackendError, CommitUnknownError, ConcurrentUpdateError, ConflictError, UnsupportedServerError
from redisorm.commands import ATTEMPTS, LONGEST_PAUSE_S, Batch, Clock, Pause, Supports, Watch, WatchLimit
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows import scripts
from redisorm.flows.committing import CommitResult
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import state_of
from tests.unit.desk import Desk, agreeing, atomic, look, script_call, scripting, session_on, stored, talk
from tests.zoo.models import Board, Memo, Ticket, User

Answer = Callable[[Batch | Watch], Any]


def users(*pks: int) -> list[User]:
    return [stored(User, {"id": pk, "name": "Ann", "age": 0}) for pk in pks]


def changed(desk: Desk, *pks: int) -> Any:
    """A session in which users have another name."""
    session = session_on(desk)
    for user in users(*pks):
        session.add(user)
        user.name = "Bea"
    return session


def large(answer: Answer) -> Desk:
    """A server that watches two keys at most and runs scripts."""
    return Desk(answer, watch_limit=2, supports={"EVALSHA": True})


# ---- more keys than may be watched ----------------------------------------------------------------------------------


def test_commit_of_more_rows_than_may_be_watched_reads_without_watching_and_repeats_the_reads_in_a_script() -> None:
    """What the script took for granted was wrong for one row, so the commit looks: the row has a life of its own."""
    calls: list[Any] = [None]

    def answer(request: Batch | Watch) -> Any:
        if request.commands[0][0] == "EVALSHA":
            return [calls.pop()] if calls else agreeing(request)
        return [[b"%d" % pk, b"60" if pk == 2 else None] for pk in (1, 2, 3)]

    desk = large(answer)
    session = changed(desk, 1, 2, 3)
    assert session.commit() == CommitResult(commands=3 + 3 + 3, round_trips=3, objects=3)
    _, reads, script = talk(desk)
    commands = [("HMGET", f"user:{pk}", "id", ":ttl") for pk in (1, 2, 3)]
    assert reads == look(*commands)
    call = script_call(script)
    assert call.rows == [(command, [b"=%d" % pk, b"=60" if pk == 2 else b"-"]) for pk, command in enumerate(commands, 1)]
    assert call.writes == [
        ("HSET", "user:1", "name", "Bea"),
        ("HSET", "user:2", "name", "Bea"),
        ("PEXPIREAT", "user:2", desk.now_ms + 60_000),
        ("HSET", "user:3", "name", "Bea"),
    ]
    assert not any(isinstance(request, Watch) for request in talk(desk))


def test_keys_expected_to_be_absent_are_counted_again_by_the_script_and_types_compared() -> None:
    """A row is replaced: EXISTS and the types that were found are among what the script repeats."""
    calls: list[Any] = [None]

    def answer(request: Batch | Watch) -> Any:
        if request.commands[0][0] == "EVALSHA":
            return [calls.pop()] if calls else agreeing(request)
        if request.commands[0][0] == "EXISTS":
            return [1]
        return [b"hash" if command[1] == "board:1" else b"none" for command in request.commands]

    desk = large(answer)
    session = session_on(desk)
    session.add_all([Board(id=pk) for pk in (1, 2, 3)])
    session.commit()
    call = script_call(talk(desk)[-1])
    keys = [key for pk in (1, 2, 3) for key in (f"board:{pk}", f"board:{pk}:tags", f"board:{pk}:jobs", f"board:{pk}:scores")]
    assert call.reads[0] == (("EXISTS", *keys), b":1")
    assert call.reads[1:3] == [(("TYPE", "board:1"), b"$4:hash"), (("TYPE", "board:1:tags"), b"$4:none")]
    assert set(keys) <= set(call.keys)
    assert ("UNLINK", "board:1:tags", "board:1:jobs", "board:1:scores") in call.writes


def test_commit_within_the_limit_watches() -> None:
    def answer(request: Batch | Watch) -> Any:
        if request.commands[0][0] == "EVALSHA":
            return [None]
        return [[b"1", None], [b"2", None]] if isinstance(request, Watch) else [0, 0]

    desk = large(answer)
    changed(desk, 1, 2).commit()
    assert [type(request) for request in talk(desk)] == [Batch, Watch, Batch]


def test_commit_of_too_many_rows_is_refused_where_no_script_may_run_and_tells_how_to_split_it() -> None:
    desk = Desk(watch_limit=2)
    session = changed(desk, 1, 2, 3)
    with pytest.raises(UnsupportedServerError, match=r"3 objects that guards 3 keys .* than 2 keys .* commit\(batch=2\)") as caught:
        session.commit()
    assert caught.value.command == "EVALSHA"
    assert desk.round_trips == 0
    assert len(session.dirty) == 3


def test_server_that_watches_any_number_is_let_watch() -> None:
    pks = range(1, 5)
    desk = Desk([[4, *[[None]] * 4], [0] * 4], watch_limit=None)
    changed(desk, *pks).commit()
    keys = [f"user:{pk}" for pk in pks]
    assert talk(desk)[0] == Watch(keys, [("EXISTS", *keys), *(("HMGET", key, ":ttl") for key in keys)])


def test_commit_in_batches_watches_no_more_than_a_batch() -> None:
    replies: list[Any] = [[[b"1", None], [b"2", None]], [0, 0], [[b"3", None]], [0]]
    desk = Desk(replies, watch_limit=2)
    result = changed(desk, 1, 2, 3).commit(batch=2)
    assert (result.objects, result.round_trips) == (3, 4)
    desk.done()


def test_script_of_more_words_than_a_command_has_is_left_for_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "MOST_ARGUMENTS", 10)
    desk = Desk([[[b"1", None], [b"2", None]], [0, 0]], supports={"EVALSHA": True})
    changed(desk, 1, 2).commit()
    assert [type(request) for request in talk(desk)] == [Watch, Batch]


def test_commit_that_fits_neither_watch_nor_script_is_refused_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "MOST_ARGUMENTS", 10)
    desk = large(lambda request: [[b"%d" % pk, None] for pk in (1, 2, 3)])
    with pytest.raises(ConflictError, match=r"46 words, .* takes 10 and 7000: commit\(batch=1000\) splits it"):
        changed(desk, 1, 2, 3).commit()
    assert [command[0] for command in desk.commands] == ["HMGET"] * 3


# ---- races ----------------------------------------------------------------------------------------------------------


def test_lost_race_is_tried_again_from_fresh_reads_after_a_growing_pause() -> None:
    def answer(request: Batch | Watch) -> Any:
        if isinstance(request, Watch):
            return [[b"1", None]]
        return None if len(talk(desk)) < 6 else [0]

    desk = Desk(answer)
    session = changed(desk, 1)
    assert session.commit().round_trips == 6
    assert [type(request) for request in talk(desk)] == [Watch, Batch] * 3
    assert [request for request in desk.requests if isinstance(request, Pause)] == [Pause(0.001), Pause(0.002)]


@pytest.mark.parametrize("limit", [None, 0], ids=["by watch", "by script"])
def test_race_that_is_lost_every_time_names_the_rows_and_leaves_them_to_be_committed_again(limit: int | None) -> None:
    def answer(request: Batch | Watch) -> Any:
        if request.commands[0][0] == "EVALSHA":
            return [None]
        return None if isinstance(request, Batch) and request.atomic else [[b"1", None]] * len(request.commands)

    desk = Desk(answer, watch_limit=limit, supports={"EVALSHA": limit is not None})
    session = changed(desk, 1, 2, 3, 4)
    with pytest.raises(
        ConcurrentUpdateError, match=rf"{ATTEMPTS} times in a row \(user:1, user:2, user:3, …\); nothing was written"
    ) as error:
        session.commit()
    assert error.value.key == "user:1"
    pauses = [request.limit_s for request in desk.requests if isinstance(request, Pause)]
    assert len(pauses) == ATTEMPTS
    assert max(pauses) == LONGEST_PAUSE_S
    assert len(session.dirty) == 4


def test_error_of_a_lost_race_lists_few_rows_as_they_are() -> None:
    desk = Desk(lambda request: [[b"1", None]] if isinstance(request, Watch) else None)
    with pytest.raises(ConcurrentUpdateError, match=r"\(user:1\); nothing"):
        changed(desk, 1).commit()


def test_condition_of_the_commit_is_asked_of_the_server_in_order() -> None:
    driver = ScriptedDriver([[0], [3]])
    driver.run(verbs.save(Board(id=1), None, ""))
    kinds = [type(request) for request in driver.requests]
    assert kinds == [Supports, WatchLimit, Watch, Clock, Batch]


def test_lone_row_without_a_script_is_watched_and_written() -> None:
    driver = ScriptedDriver([[0], [3]])
    driver.run(verbs.save(User(id=1, name="Ann"), None, ""))
    assert [type(request) for request in driver.requests] == [Supports, Watch, Batch]
    assert talk(driver) == [Watch(["user:1"], [("EXISTS", "user:1")]), atomic(("HSET", "user:1", "id", 1, "name", "Ann", "age", 0))]


def test_lone_row_that_is_otherwise_is_not_looked_at_twice() -> None:
    (user,) = users(1)
    user.name = "Bea"
    driver = ScriptedDriver([[[b"1", b"60"]], [1, 1]])
    driver.run(verbs.save(user, None, ""))
    assert talk(driver)[0] == Watch(["user:1"], [("HMGET", "user:1", "id", ":ttl")])
    assert [command[0] for command in talk(driver)[1].commands] == ["HSET", "PEXPIREAT"]


# ---- automatic numbers ----------------------------------------------------------------------------------------------


def test_number_that_a_row_has_already_is_left_out_and_the_next_one_taken() -> None:
    """A counter was lost, or rows were written by other programs."""
    answers: list[Any] = [[1], [1], [b"hash"], [3], [0], [1, 1]]
    driver = ScriptedDriver(answers)
    ticket = Ticket(title="x")
    driver.run(verbs.save(ticket, None, ""))
    assert talk(driver) == [
        Batch([("INCRBY", "ticket::id:next", 1)]),
        Watch(["ticket:1"], [("EXISTS", "ticket:1")]),
        look(("TYPE", "ticket:1")),
        Batch([("INCRBY", "ticket::id:next", 2)]),  # one more than is needed is left out, twice as many with each attempt
        Watch(["ticket:3"], [("EXISTS", "ticket:3")]),
        atomic(("HSET", "ticket:3", "id", 3, "title", "x")),
    ]
    assert ticket.id == 3
    driver.done()


def test_number_that_is_taken_is_left_out_by_script_too() -> None:
    numbers = iter([3, 7])

    def answer(request: Batch | Watch) -> Any:
        name = request.commands[0][0]
        if name == "INCRBY":
            return [next(numbers)]
        if name == "EVALSHA":
            return [None] if "ticket:2" in script_call(request).keys else agreeing(request)
        if name == "EXISTS":
            return [1 if "ticket:2" in request.commands[0] else 0]
        return [b"hash" if key == "ticket:2" else b"none" for _, key in request.commands]

    desk = Desk(answer, watch_limit=0, supports={"EVALSHA": True})
    session = session_on(desk)
    tickets = [Ticket(), Ticket(), Ticket()]
    session.add_all(tickets)
    session.commit()
    assert [ticket.id for ticket in tickets] == [1, 7, 3]


def test_explicit_number_raises_the_counter_to_it_in_the_same_transaction() -> None:
    driver = ScriptedDriver([[0, b"5"], [4, 1]])
    driver.run(verbs.save(Ticket(id=9, title="x"), None, ""))
    assert talk(driver) == [
        Watch(["ticket:9"], [("EXISTS", "ticket:9"), ("GET", "ticket::id:next")]),
        atomic(("INCRBY", "ticket::id:next", 4), ("HSET", "ticket:9", "id", 9, "title", "x")),
    ]


@pytest.mark.parametrize(("pk", "counter"), [(3, b"5"), (5, b"5"), (2**62 + 1, None)])
def test_counter_is_not_raised_to_what_it_has_passed_or_to_where_it_would_overflow(pk: int, counter: bytes | None) -> None:
    reads: list[Any] = [0] if pk > 2**62 else [0, counter]
    driver = ScriptedDriver([reads, [1]])
    driver.run(verbs.save(Ticket(id=pk), None, ""))
    assert [command[0] for command in talk(driver)[1].commands] == ["HSET"]


def test_commit_that_raises_a_counter_looks_first_even_where_scripts_run() -> None:
    driver = scripting([[0, None], [1, 1]])
    driver.run(verbs.save(Ticket(id=9), None, ""))
    assert isinstance(talk(driver)[0], Watch)


@pytest.mark.parametrize("how", ["session", "save"])
def test_number_of_a_commit_of_unknown_outcome_is_kept(how: str) -> None:
    """A second commit writes the same row instead of a twin."""
    lost = CommitUnknownError("the answer to EXEC is lost")
    ticket = Ticket(title="x")
    desk = Desk([[7], [0], lost, [1, b"7"], [b"hash"], [1] * 3])
    if how == "session":
        session = session_on(desk)
        session.add(ticket)
        with pytest.raises(CommitUnknownError):
            session.commit()
        assert session.new == [ticket]
        session.commit()
    else:
        with pytest.raises(CommitUnknownError):
            desk.run(verbs.save(ticket, None, ""))
        desk.run(verbs.save(ticket, None, ""))
    assert ticket.id == 7
    assert state_of(ticket).key == "ticket:7"


def test_refused_counter_is_told_and_the_object_stays_without_a_number() -> None:
    ticket = Ticket()
    driver = ScriptedDriver([BackendError("ERR increment or decrement would overflow", code="ERR")])
    with pytest.raises(BackendError, match="overflow"):
        driver.run(verbs.save(ticket, None, ""))
    assert ticket.id is None


# ---- nothing to guard -----------------------------------------------------------------------------------------------


def test_unguarded_commit_has_nothing_to_look_at_even_where_scripts_run() -> None:
    driver = scripting([[1]])
    driver.run(verbs.save(Memo(text="x"), None, ""))
    (request,) = talk(driver)
    assert request.commands[0][0] == "HSET"
