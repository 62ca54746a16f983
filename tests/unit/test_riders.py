"""What else a commit sends in its transaction: events and messages, with the guards that keep it from being refused half way."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from redisorm import ConcurrentUpdateError, ConflictError, WrongTypeError
from redisorm.commands import Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.committing import commit
from redisorm.flows.guarding import Ownership
from redisorm.flows.pieces import CHUNK
from redisorm.flows.riding import SCRIPT
from redisorm.flows.scripts import MOST_ARGUMENTS
from redisorm.unitofwork.work import new_version
from tests.unit.desk import Desk, agreeing, answering, atomic, look, script_call, scripting, session_on, stored, talk
from tests.zoo.indexed import Member
from tests.zoo.models import Board, Ticket, User

XADD = ("XADD", "stream:orders", "*", "id", "1")
PUBLISH = ("PUBLISH", "price.a1", b"{}")
SPUBLISH = ("SPUBLISH", "price.a1", b"{}")
OWNED = Ownership("stream:orders", "billing", "worker-1", "5-0", "stream:orders::billing:claims")
PENDING = ("XPENDING", "stream:orders", "billing", "5-0", "5-0", 1)
HELD: list[Any] = [[b"5-0", b"worker-1", 1234, 1]]

commit_of = partial(commit, new_version=new_version)


def riding(desk: Desk, *commands: Any) -> Any:
    """A session in which a user has changed and further commands wait."""
    session = session_on(desk)
    user = stored(User, {"id": 1, "name": "Ann"})
    session.add(user)
    user.name = "Bea"
    session._ride(*commands)
    return session


def test_riders_go_last_in_the_transaction_of_the_writes_once_their_key_is_known_to_have_the_right_type() -> None:
    desk = Desk(answering([b"stream", [b"1", None]]))
    riding(desk, XADD, PUBLISH).commit()
    assert talk(desk) == [
        Watch(["user:1"], [("TYPE", "stream:orders"), ("HMGET", "user:1", "id", ":ttl")]),
        atomic(("HSET", "user:1", "name", "Bea"), XADD, PUBLISH),
    ]


@pytest.mark.parametrize("found", [b"stream", b"none"])
def test_riders_alone_are_a_transaction_of_their_own(found: bytes) -> None:
    desk = Desk(answering([found]))
    session = session_on(desk)
    session._ride(XADD)
    result = session.commit()
    assert talk(desk) == [look(("TYPE", "stream:orders")), atomic(XADD)]
    assert (result.objects, result.round_trips) == (0, 2)
    assert session.commit() == (0, 0, 0)


def test_message_alone_needs_no_look() -> None:
    desk = Desk(answering())
    session = session_on(desk)
    session._ride(PUBLISH)
    session.commit()
    assert talk(desk) == [atomic(PUBLISH)]


def test_rider_whose_key_has_another_type_is_refused_before_anything_is_written() -> None:
    desk = Desk(answering([b"hash", [b"1", None]]))
    session = riding(desk, XADD)
    with pytest.raises(WrongTypeError, match="stream:orders is a hash where a stream is needed; nothing was written") as caught:
        session.commit()
    assert (caught.value.key, caught.value.expected, caught.value.found) == ("stream:orders", "stream", "hash")
    assert desk.round_trips == 1
    assert len(session.dirty) == 1


def test_script_looks_at_the_type_of_a_riders_key_itself_and_a_channel_is_no_key() -> None:
    driver = scripting()
    done = driver.run(commit_of([], [XADD, PUBLISH]))
    call = script_call(talk(driver)[0])
    assert call.writes == [XADD, PUBLISH]
    assert call.keys == ["stream:orders"]
    assert call.types == {"stream:orders": "stream"}
    assert done == (3, 1, 0)


def test_one_row_and_its_riders_are_one_short_script() -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    result = riding(desk, XADD, PUBLISH).commit()
    (request,) = talk(desk)
    assert request.commands[0][1] == SCRIPT.sha
    call = script_call(request)
    assert call.keys == ["user:1", "stream:orders"]
    assert call.rows == [(("HMGET", "user:1", "id", ":ttl"), [b"=1", b"-"])]
    assert call.writes == [("HSET", "user:1", "name", "Bea"), XADD, PUBLISH]
    assert (result.objects, result.round_trips) == (1, 1)


def test_new_row_gets_its_number_before_it_and_its_riders_are_one_short_script() -> None:
    desk = Desk(lambda request: [7] if request.commands[0][0] == "INCRBY" else agreeing(request), supports={"EVALSHA": True})
    session = session_on(desk)
    session.add(ticket := Ticket(title="a"))
    session._ride(XADD)
    result = session.commit()
    number, write = talk(desk)
    assert number.commands == [("INCRBY", "ticket::id:next", 1)]
    assert ticket.id == 7
    assert write.commands[0][1] == SCRIPT.sha
    assert script_call(write).keys == ["ticket:7", "stream:orders"]
    assert (result.objects, result.round_trips) == (1, 2)


def test_message_needs_no_key_and_so_only_the_row_is_verified() -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    session = session_on(desk)
    session.add(User(id=1, name="Ann"))
    session._ride(PUBLISH)
    session.commit()
    call = script_call(talk(desk)[0])
    assert (call.keys, call.absent, call.types, call.writes) == (["user:1"], ["user:1"], {}, [PUBLISH])


@pytest.mark.parametrize("rows", [1, 2], ids=["short script", "general script"])
def test_sharded_channel_is_a_key_of_the_script_so_that_a_cluster_refuses_another_slot_before_anything_is_written(rows: int) -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    session = session_on(desk)
    session.add_all([User(id=number, name="Ann") for number in range(rows)])
    session._ride(SPUBLISH, XADD)
    session.commit()
    (request,) = talk(desk)
    call = script_call(request)
    assert (request.commands[0][1] == SCRIPT.sha) is (rows == 1)
    assert {*call.keys} == {*(f"user:{number}" for number in range(rows)), "price.a1", "stream:orders"}
    assert (call.types, call.writes[-2:]) == ({"stream:orders": "stream"}, [XADD, SPUBLISH])


def test_sharded_message_goes_out_in_the_transaction_where_scripts_are_denied() -> None:
    desk = Desk(answering([[b"1", None]]))
    riding(desk, SPUBLISH).commit()
    assert talk(desk) == [Watch(["user:1"], [("HMGET", "user:1", "id", ":ttl")]), atomic(("HSET", "user:1", "name", "Bea"), SPUBLISH)]


def test_what_is_otherwise_than_the_short_script_takes_it_for_is_looked_at() -> None:
    look: Any = answering([b"stream", [b"1", b"60"]])

    def answer(request: Any) -> Any:
        return [None] if request.commands[0][0] == "EVALSHA" else look(request)

    desk = Desk(answer, supports={"EVALSHA": True})
    result = riding(desk, XADD).commit()
    _, watch, write = talk(desk)
    assert isinstance(watch, Watch)
    assert [command[0] for command in getattr(write, "commands", ())] == ["HSET", "PEXPIREAT", "XADD"]
    assert result.round_trips == 3


def large(name: str) -> tuple[str, ...]:
    """A command too long for the short script."""
    return (name, "queue", *map(str, range(CHUNK)))


@pytest.mark.parametrize("rider", [large("RPUSH"), large("LPUSH")])
def test_long_commands_and_rows_with_more_than_a_hash_go_the_general_way(rider: tuple[str, ...]) -> None:
    driver = scripting()
    driver.run(commit_of([], [rider]))
    board = Board(id=1, tags={"a"})
    desk = Desk(agreeing, supports={"EVALSHA": True})
    session = session_on(desk)
    session.add(board)
    session._ride(XADD)
    session.commit()
    for one in (driver, desk):
        assert talk(one)[0].commands[0][1] != SCRIPT.sha


def test_more_words_than_a_command_takes_go_without_a_script() -> None:
    driver = scripting(answering([b"none"]))
    driver.run(commit_of([], [XADD] * (MOST_ARGUMENTS // len(XADD))))
    look, write = talk(driver)
    assert look.commands == [("TYPE", "stream:orders")]
    assert len(write.commands) == MOST_ARGUMENTS // len(XADD)


def test_guard_that_the_short_script_does_not_know_is_left_to_the_general_one() -> None:
    class Odd:
        watched = ("other",)
        read = ("GET", "other")
        wanted = b"x"

        def check(self, reply: Any) -> None:
            assert reply == b"x"

    driver = scripting()
    driver.run(commit_of([], [XADD], guards=[Odd()]))
    call = script_call(talk(driver)[0])
    assert call.reads == [(("GET", "other"), b"$1:x")]


def test_messages_go_after_everything_that_the_server_might_refuse() -> None:
    driver = scripting()
    driver.run(commit_of([], [PUBLISH, XADD, SPUBLISH, ("PUBLISH", "b", "1"), ("UNLINK", "c")]))
    assert script_call(talk(driver)[0]).writes == [XADD, ("UNLINK", "c"), PUBLISH, SPUBLISH, ("PUBLISH", "b", "1")]


def test_rollback_drops_riders() -> None:
    desk = Desk()
    session = session_on(desk)
    session._ride(XADD)
    session.rollback()
    session.commit()
    assert desk.round_trips == 0


def test_riders_of_a_commit_in_batches_go_with_the_last() -> None:
    desk = Desk(answering([[b"1", None]], [b"none", [b"2", None]]))
    session = session_on(desk)
    for pk in (1, 2):
        user = stored(User, {"id": pk, "name": "Ann"})
        session.add(user)
        user.name = "Bea"
    session._ride(XADD)
    session.commit(batch=1)
    written = [request.commands for request in talk(desk) if getattr(request, "atomic", False)]
    assert written == [[("HSET", "user:1", "name", "Bea")], [("HSET", "user:2", "name", "Bea"), XADD]]


# ---- an entry that still belongs to its worker ----------------------------------------------------------------------


def test_entry_is_looked_at_under_a_watch_of_the_count_of_claims() -> None:
    driver = ScriptedDriver(answering([HELD, b"stream"]))
    driver.run(commit_of([], [("XACK", "stream:orders", "billing", "5-0")], guards=[OWNED]))
    watch, write = talk(driver)
    assert watch == Watch(["stream:orders::billing:claims"], [PENDING, ("TYPE", "stream:orders")])
    assert write == atomic(("XACK", "stream:orders", "billing", "5-0"))


@pytest.mark.parametrize(
    ("reply", "found", "now"),
    [
        ([[b"5-0", b"worker-2", 3, 2]], "worker-2", "it is worker-2's now"),
        ([], None, "it is acknowledged, or its group is gone"),
    ],
)
def test_entry_that_was_given_to_another_worker_commits_nothing(reply: list[Any], found: str | None, now: str) -> None:
    driver = ScriptedDriver(answering([reply]))
    with pytest.raises(ConflictError, match="the entry 5-0 of stream:orders does not belong to this worker of 'billing'") as caught:
        driver.run(commit_of([], guards=[OWNED]))
    error = caught.value
    assert now in str(error)
    assert (error.expected, error.found, error.key, error.pk) == ("worker-1", found, "stream:orders", "5-0")
    assert driver.round_trips == 1


def test_short_script_expects_the_entry_to_be_its_workers() -> None:
    driver = scripting()
    driver.run(commit_of([], [("XACK", "stream:orders", "billing", "5-0")], guards=[OWNED]))
    call = script_call(talk(driver)[0])
    assert call.entry == ("stream:orders", "billing", "worker-1", "5-0")
    assert call.keys == ["stream:orders"]
    assert call.writes == [("XACK", "stream:orders", "billing", "5-0")]


def test_script_expects_the_entry_to_be_its_workers_however_long_it_has_been_idle() -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    session = acknowledging(desk)
    session.add_all([User(id=1, name="Ann"), User(id=2, name="Bea")])
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.reads == [(PENDING, b"*1*2$3:5-0$8:worker-1")]
    assert {"stream:orders", "stream:orders::billing:claims"} <= set(call.keys)


def test_script_that_repeats_reads_compares_the_entry_without_its_idle_time() -> None:
    calls: list[Any] = [None]

    def answer(request: Any) -> Any:
        if request.commands[0][0] == "EVALSHA":
            return [calls.pop()] if calls else [[1]]
        return [HELD, b"stream"]

    driver = scripting(answer, watch_limit=0)
    driver.run(commit_of([], [("XACK", "stream:orders", "billing", "5-0")], guards=[OWNED]))
    assert script_call(talk(driver)[-1]).reads[0] == (PENDING, b"*1*2$3:5-0$8:worker-1")


def test_error_of_a_lost_race_without_rows_names_what_the_guards_watch() -> None:
    driver = ScriptedDriver(lambda request: [HELD] if isinstance(request, Watch) else None)
    with pytest.raises(ConcurrentUpdateError, match=r"\(stream:orders::billing:claims\)"):
        driver.run(commit_of([], [("PUBLISH", "c", "x")], guards=[OWNED]))


# ---- servers that refuse a read --------------------------------------------------------------------------------------


def test_read_that_the_server_refuses_for_its_type_is_followed_by_a_look_at_all_types() -> None:
    board = stored(Board, {"id": 1}, [], [], [])
    board.name = "x"
    refused = WrongTypeError("WRONGTYPE Operation against a key holding the wrong kind of value", key="board:1")
    desk = Desk(answering(refused, [b"list", b"none", b"none", b"none"]))
    session = session_on(desk)
    session.add(board)
    with pytest.raises(WrongTypeError, match="board:1 is a list where a hash is needed; nothing was written"):
        session.commit()
    assert talk(desk)[1] == look(*(("TYPE", key) for key in ("board:1", "board:1:tags", "board:1:jobs", "board:1:scores")))


def test_refusal_that_no_type_explains_any_more_is_told_as_it_was() -> None:
    """Somebody removed the key in between."""
    user = stored(User, {"id": 1, "name": "Ann"})
    user.name = "x"
    refused = WrongTypeError("WRONGTYPE Operation against a key holding the wrong kind of value", key="user:1")
    desk = Desk(answering(refused, [b"none"]))
    session = session_on(desk)
    session.add(user)
    with pytest.raises(WrongTypeError, match="WRONGTYPE"):
        session.commit()


def test_absence_in_a_reply_that_a_script_repeats_is_told_from_emptiness() -> None:
    """The owner of a unique value was found absent: the script must find it absent too."""
    calls: list[Any] = [None]

    def answer(request: Any) -> Any:
        name = request.commands[0][0]
        if name == "EVALSHA":
            return [calls.pop()] if calls else [[1] * len(script_call(request).writes)]
        if name == "GET":
            return [b"1" if str(key).endswith("a@x") else None for _, key in request.commands]
        return [[b"1", None, b"a@x", None, b"0"], -1, []]

    one = stored(Member, {"id": 1, "email": "a@x", "number": 0})
    one.email = "b@x"
    desk = Desk(answer, watch_limit=0, supports={"EVALSHA": True})
    session = session_on(desk)
    session.add(one)
    session.commit()
    reads = dict(script_call(talk(desk)[-1]).reads)
    assert reads["GET", "member::unique:email:b@x"] == b"_"
    assert reads["GET", "member::unique:email:a@x"] == b"$1:1"


# ---- the acknowledgement of a worker's session --------------------------------------------------------------------------


XACK = ("XACK", "stream:orders", "billing", "5-0")


def acknowledging(desk: Desk) -> Any:
    """A session of a worker in which nothing waits but the acknowledgement."""
    session = session_on(desk)
    session._acknowledge(XACK, OWNED)
    return session


def test_acknowledgement_goes_with_the_first_commit_and_with_no_other() -> None:
    desk = Desk(answering([HELD, b"stream"], [b"none"]))
    session = acknowledging(desk)
    session.rollback()
    session.commit()
    session._ride(XADD)
    session.commit()
    watch, first, _, second = talk(desk)
    assert watch.commands == [PENDING, ("TYPE", "stream:orders")]
    assert (first, second) == (atomic(XACK), atomic(XADD))


def test_acknowledgement_that_failed_is_kept_with_what_else_waits() -> None:
    desk = Desk(answering([[], b"stream"], [HELD, b"stream"]))
    session = acknowledging(desk)
    session._ride(PUBLISH)
    with pytest.raises(ConflictError):
        session.commit()
    session.commit()
    assert talk(desk)[-1] == atomic(XACK, PUBLISH)


def test_every_batch_of_a_workers_commit_is_guarded_and_the_last_acknowledges() -> None:
    desk = Desk(answering([HELD, [b"1", None]], [HELD, b"stream", [b"2", None]]))
    session = acknowledging(desk)
    for pk in (1, 2):
        user = stored(User, {"id": pk, "name": "Ann"})
        session.add(user)
        user.name = "Bea"
    session.commit(batch=1)
    assert [request.commands[0] for request in talk(desk) if isinstance(request, Watch)] == [PENDING, PENDING]
    written = [request.commands for request in talk(desk) if getattr(request, "atomic", False)]
    assert written == [[("HSET", "user:1", "name", "Bea")], [("HSET", "user:2", "name", "Bea"), XACK]]
