"""What a lock asks of a server, and what its lease makes of the answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from redisorm import CommitUnknownError, ConnectionFailedError, Database, LockLost, LockTimeout
from redisorm.drivers.blocking_lease import BlockingLease
from redisorm.drivers.lease import Gates
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.patterns.lock import BaseLock, Terms

SCRIPTS = {"EVALSHA": True}
HOLDER, FENCE, WAKE = "shop:lock::stock", "shop:lock::stock:fence", "shop:lock::stock:wake"


class Named:
    namespace = "shop"


def terms(ttl: float = 10, wait: float | None = None) -> Terms:
    return BaseLock(Named(), "stock", ttl, wait)._terms()


def test_an_attempt_is_one_round_trip_and_the_token_makes_it_harmless_to_repeat() -> None:
    one, driver = terms(), ScriptedDriver([[[17, 0]]], supports=SCRIPTS)

    assert driver.run(one.attempt()) is None

    ((name, _, *words),) = driver.commands
    assert (name, words) == ("EVALSHA", [2, HOLDER, FENCE, one._token, 10_000, 86_400_000])
    assert driver.requests[-1].resend  # type: ignore[union-attr]
    assert one.fence == 17
    assert one._token != terms()._token


def test_a_lock_that_another_has_says_for_how_long() -> None:
    assert ScriptedDriver([[[0, 2500]]], supports=SCRIPTS).run(terms().attempt()) == 2.5
    assert ScriptedDriver([[[0, -2]]], supports=SCRIPTS).run(terms().attempt()) == 0.001


def test_without_scripts_the_holder_and_the_fence_are_watched_and_written_together() -> None:
    one = terms()
    free = ScriptedDriver([[[b"1700000000", b"7"], None, -2, b"5"], [b"OK", b"OK"]], supports={"EVALSHA": False})

    assert free.run(one.attempt()) is None
    assert one.fence == 1_700_000_000_000_007
    assert free.commands[4:] == [("SET", FENCE, one.fence, "PX", 86_400_000), ("SET", HOLDER, one._token, "PX", 10_000)]
    held = ScriptedDriver([[[b"1700000000", b"7"], b"another", 900, b"5"]], supports={"EVALSHA": False})
    assert held.run(terms().attempt()) == 0.9


def test_a_fence_is_larger_than_the_last_even_where_the_clock_went_back() -> None:
    one = terms()
    driver = ScriptedDriver([[[b"1600000000", b"0"], None, -2, b"1700000000000000"], [b"OK", b"OK"]], supports={"EVALSHA": False})

    driver.run(one.attempt())

    assert one.fence == 1_700_000_000_000_001


def test_a_holder_who_asks_again_keeps_the_fence() -> None:
    one = terms()
    read = [[b"1700000000", b"0"], one._token.encode(), 9000, b"41"]

    assert ScriptedDriver([read, [b"OK", b"OK"]], supports={"EVALSHA": False}).run(one.attempt()) is None
    assert one.fence == 41


def test_without_scripts_only_the_token_renews_and_releases() -> None:
    one = terms()
    mine, another = one._token.encode(), b"another"
    assert ScriptedDriver([[another]], supports={"EVALSHA": False}).run(one.renew()) is False
    assert ScriptedDriver([[None, 0]], supports={"EVALSHA": False}).run(one.release()) is False

    driver = ScriptedDriver([[mine], [1], [mine, 0], [1, 1, 1]], supports={"EVALSHA": False})
    assert driver.run(one.renew()) is True
    assert driver.run(one.release()) is True
    assert driver.commands[-3:] == [("DEL", HOLDER), ("RPUSH", WAKE, "1"), ("PEXPIRE", WAKE, 10_000)]
    called = ScriptedDriver([[mine, 1], [1]], supports={"EVALSHA": False})
    assert called.run(one.release()) is True
    assert called.commands[-1] == ("DEL", HOLDER)


@pytest.mark.parametrize(("limit_s", "word"), [(0.0, "0.001"), (0.25, "0.250"), (60, "1.000")])
def test_a_nap_ends_in_time_to_look_again(limit_s: float, word: str) -> None:
    driver = ScriptedDriver([[None]])
    driver.run(terms().nap(limit_s))
    assert driver.commands == [("BLPOP", WAKE, word)]


@pytest.mark.parametrize(
    ("name", "ttl", "wait"), [("", 1, None), ("x", 0, None), ("x", -1, None), ("x", 1, -1), ("x", 1, timedelta(-1)), ("x", 1, True)]
)
def test_a_lock_that_makes_no_sense_is_refused(name: str, ttl: float, wait: Any) -> None:
    with pytest.raises(ValueError, match=r"name|ttl|wait"):
        BaseLock(Named(), name, ttl, wait)


class Scripted:
    """A database whose answers are prepared; a command that is not in them is answered by what its kind is worth."""

    def __init__(self, answers: Callable[[str], Any]) -> None:
        self.sent: list[str] = []
        self._answers = answers
        self._driver = ScriptedDriver(self._answer, supports=SCRIPTS)
        self._lock = threading.Lock()

    def _answer(self, request: Any) -> Any:
        command = request.commands[0]
        kind = {2: "acquire" if FENCE in command else "release", 1: "renew"}[command[2]] if command[0] == "EVALSHA" else "nap"
        self.sent.append(kind)
        answer = self._answers(kind)
        return answer if isinstance(answer, Exception) else [answer]

    def run(self, flow: Any) -> Any:
        with self._lock:
            return self._driver.run(flow)


def lease(answers: Callable[[str], Any], **options: Any) -> tuple[BlockingLease, Scripted]:
    database = Scripted(answers)
    return BlockingLease(cast("Database", database), terms(**options)), database


def answering(**words: Any) -> Callable[[str], Any]:
    """Answer each kind of step from its list, and the last of it for ever."""
    left = {kind: list(answers) for kind, answers in words.items()}
    return lambda kind: left[kind].pop(0) if len(left[kind]) > 1 else left[kind][0]


def test_whoever_waits_looks_again_after_each_nap() -> None:
    one, database = lease(answering(acquire=[[0, 50], [0, 50], [3, 0]], nap=[None], release=[1]))
    one.acquire()
    one.release(failed=False)
    # the first look is before the line, the second at its head
    assert database.sent == ["acquire", "acquire", "nap", "acquire", "release"]


def test_not_waiting_is_one_look() -> None:
    one, database = lease(answering(acquire=[[0, 50]]), wait=0)
    with pytest.raises(LockTimeout, match="not free within 0 s"):
        one.acquire()
    assert set(database.sent) == {"acquire"}


def test_an_interrupt_in_the_middle_leaves_nothing_held() -> None:
    one, database = lease(answering(acquire=[KeyboardInterrupt()], release=[1]))
    database._driver._answer_of = raising(database._answer)
    with pytest.raises(KeyboardInterrupt):
        one.acquire()
    assert database.sent == ["acquire", "release"]


def raising(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def answered(request: Any) -> Any:
        (told,) = answer(request)
        if isinstance(told, BaseException):
            raise told
        return [told]

    return answered


def test_a_lost_answer_to_the_release_is_no_loss_of_the_lock_while_its_time_is_not_up() -> None:
    one, database = lease(answering(acquire=[[3, 0]], release=[CommitUnknownError("lost"), 0]))
    one.acquire()
    one.release(failed=False)
    assert database.sent == ["acquire", "release", "release"]

    late, _ = lease(answering(acquire=[[3, 0]], release=[CommitUnknownError("lost"), 0], renew=[ConnectionFailedError("gone")]), ttl=0.001)
    late.acquire()
    threading.Event().wait(0.02)
    with pytest.raises(LockLost):
        late.release(failed=False)


def test_what_was_lost_is_told_at_the_end_unless_another_error_is_on_its_way(caplog: pytest.LogCaptureFixture) -> None:
    lost, _ = lease(answering(acquire=[[3, 0]], release=[0]))
    lost.acquire()
    with pytest.raises(LockLost, match="ours was 3"):
        lost.release(failed=False)
    lost.release(failed=False)  # a second time does nothing

    failing, _ = lease(answering(acquire=[[3, 0]], release=[0]))
    failing.acquire()
    failing.release(failed=True)
    assert "was lost before the block that held it failed" in caplog.text


def test_a_renewal_that_fails_is_tried_again_and_one_that_is_refused_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    one, database = lease(answering(acquire=[[3, 0]], renew=[ConnectionFailedError("gone"), 1, 0], release=[1]), ttl=0.03)
    one.acquire()
    one._renewal.join(5)
    assert database.sent == ["acquire", "renew", "renew", "renew"]
    assert "could not be renewed" in caplog.text
    with pytest.raises(LockLost):
        one.check()
    with pytest.raises(LockLost):
        one.release(failed=False)
    assert database.sent == ["acquire", "renew", "renew", "renew"], "where it is known to be lost nobody is asked"


def test_a_gate_is_one_for_a_name_and_gone_with_its_last_user() -> None:
    gates: Gates[Any] = Gates(threading.Lock)
    first = gates.of("a")
    assert gates.of("a") is first
    assert gates.of("b") is not first
    del first
    assert len(gates._gates) == 0
