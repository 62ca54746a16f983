"""What a memoized function asks of a server, and what it makes of the answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from redisorm import BackendError, MappingError
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.patterns.cache import BaseCache, Recipe
from redisorm.patterns.calls import BOARD, CLOSE, LEADS, LOAD, Call
from redisorm.patterns.entries import Entry

NOW_MS = 1_700_000_000_000
KEY, TAG = "shop:cache:user:1", "shop:cache::tag:all"


class Profile(BaseModel):
    name: str


class Named:
    namespace = "shop"


def load(user_id: int) -> Profile | None:
    raise NotImplementedError


def recipe(function: Callable[..., Any] = load, **options: Any) -> Recipe[Any]:
    cache = BaseCache(Named(), options.pop("prefix", "cache"), options.pop("cache_ttl", 60), 10, options.pop("on_error", "raise"))
    lives = (options.pop("ttl", None), options.pop("none_ttl", None), options.pop("stale", 0))
    template = options.pop("template", "user:{user_id}")
    return Recipe(cache, function, template, lives, options.pop("early", 0), options.pop("tags", ()), options.pop("local", {}))


def stored(
    made: Recipe[Any], *, fresh_in_ms: int, until_in_ms: int | None = None, text: bytes = b'{"name":"Ann"}', cost: int = 100
) -> list[bytes]:
    until = fresh_in_ms if until_in_ms is None else until_in_ms
    return [text, b"%d" % (NOW_MS + fresh_in_ms), b"%d" % (NOW_MS + until), b"%d" % cost, made.schema]


ABSENT = [None] * 5


class Desk:
    """Performs a course as a face does, against prepared answers, and writes down what it wants."""

    def __init__(self, *answers: Any, loads: Any = None, lands: tuple[Any, ...] = (LEADS,), scripts: bool = True) -> None:
        self.driver = ScriptedDriver(answers, supports={"EVALSHA": scripts})
        self.driver.now_ms = NOW_MS
        self.loads, self.lands, self.wants = loads, list(lands), list[str]()

    def perform(self, call: Call[Any], *, refresh: bool = False) -> Any:
        course = call.refresh() if refresh else call.answer()
        answer: Any
        try:
            step = next(course)
            while True:
                try:
                    if step is LOAD:
                        self.wants.append("load")
                        if isinstance(self.loads, BaseException):
                            raise self.loads
                        answer = self.loads
                    elif step is BOARD:
                        self.wants.append("board")
                        answer = self.lands.pop(0)
                    elif step is CLOSE:
                        self.wants.append("close")
                        answer = None
                    else:
                        answer = self.driver.run(step)
                except BaseException as error:  # noqa: BLE001
                    step = course.throw(error)
                else:
                    step = course.send(answer)
        except StopIteration as end:
            self.driver.done()
            return end.value

    @property
    def names(self) -> list[Any]:
        return [command[0] for command in self.driver.commands]


def call_of(made: Recipe[Any]) -> Call[Any]:
    return Call(made, (1,), {})


def test_a_hit_is_one_look() -> None:
    made = recipe()
    desk = Desk([stored(made, fresh_in_ms=1)])

    assert desk.perform(call_of(made)) == Profile(name="Ann")
    assert desk.driver.commands == [("HMGET", KEY, "value", "fresh", "until", "cost", "schema")]
    assert desk.driver.round_trips == 1


def test_a_miss_is_a_look_the_lease_and_the_fill() -> None:
    made = recipe(ttl=60, stale=30, tags=("all",))
    desk, call = Desk([ABSENT], [[1, NOW_MS]], [1], loads=Profile(name="Bob")), call_of(made)

    assert desk.perform(call) == Profile(name="Bob")

    assert desk.wants == ["board", "load", "close"]
    assert desk.driver.round_trips == 3
    _, lease, fill = desk.driver.commands
    token = lease[5]
    assert lease[2:] == (2, KEY, TAG, token, 10_000, b"", 0)
    assert fill[2:] == (2, KEY, TAG, token, NOW_MS, b'{"name":"Bob"}', made.schema, 60_000, 30_000)
    assert call.text == b'{"name":"Bob"}'


def test_what_was_invalidated_meanwhile_is_no_value_for_others() -> None:
    made = recipe()
    call = call_of(made)
    assert Desk([ABSENT], [[1, NOW_MS]], [0], loads=Profile(name="Bob")).perform(call) == Profile(name="Bob")
    assert call.text is None


@pytest.mark.parametrize(("none_ttl", "lives"), [(None, (60_000, 30_000)), (5, (5_000, 0)), (0, (0, 0)), (timedelta(), (0, 0))])
def test_none_has_a_life_of_its_own(none_ttl: Any, lives: tuple[int, int]) -> None:
    made = recipe(ttl=60, none_ttl=none_ttl, stale=30)
    desk = Desk([ABSENT], [[1, NOW_MS]], [1], loads=None)
    assert desk.perform(call_of(made)) is None
    assert desk.driver.commands[-1][-4:] == (b"null", made.schema, *lives)


def test_who_does_not_lead_takes_what_the_leader_brought() -> None:
    made = recipe()
    desk = Desk([ABSENT], lands=(b'{"name":"Cid"}',))
    assert desk.perform(call_of(made)) == Profile(name="Cid")
    assert desk.driver.round_trips == 1


def test_when_the_leader_brought_nothing_the_next_looks_and_leads() -> None:
    made = recipe()
    desk = Desk([ABSENT], [ABSENT], [[1, NOW_MS]], [1], loads=Profile(name="Bob"), lands=(None, LEADS))
    assert desk.perform(call_of(made)) == Profile(name="Bob")
    assert desk.wants == ["board", "board", "load", "close"]

    found = Desk([ABSENT], [stored(made, fresh_in_ms=10)], lands=(None,))
    assert found.perform(call_of(made)) == Profile(name="Ann")


def test_who_waits_for_another_process_takes_its_value_or_its_lease() -> None:
    made = recipe()
    filled = Desk([ABSENT], [[0, 9000]], [[0, 8900]], [[2, 0]], [stored(made, fresh_in_ms=10)])
    call = call_of(made)
    assert filled.perform(call) == Profile(name="Ann")
    assert filled.wants == ["board"]
    assert call.text is None, "others look for themselves: it may be invalidated before they do"

    died = Desk([ABSENT], [[0, 9000]], [[1, NOW_MS]], [1], loads=Profile(name="Bob"))
    assert died.perform(call_of(made)) == Profile(name="Bob")


def test_a_change_that_is_no_value_is_seen_before_the_lease_is_asked_for_again() -> None:
    made = recipe()
    other = stored(made, fresh_in_ms=10)
    other[4] = b"another"
    desk = Desk([ABSENT], [[2, 0]], [other], [[1, NOW_MS]], [1], loads=Profile(name="Bob"))
    assert desk.perform(call_of(made)) == Profile(name="Bob")
    assert desk.driver.commands[3][6] == other[1]


@pytest.mark.parametrize(
    ("place", "text"),
    [(0, None), (0, b"{}"), (0, b"\xff"), (0, b"nonsense"), (1, b"soon"), (2, b"late"), (3, b"much"), (4, b"another"), (2, None)],
)
def test_what_does_not_fit_is_a_miss(place: int, text: bytes | None) -> None:
    made = recipe()
    row: list[Any] = stored(made, fresh_in_ms=10)
    row[place] = text
    desk = Desk([row], [[1, NOW_MS]], [1], loads=Profile(name="Bob"))
    assert desk.perform(call_of(made)) == Profile(name="Bob")
    assert desk.driver.commands[1][6] == row[1], "it is this value that is replaced"


def test_what_outlived_its_time_only_for_the_sake_of_a_lease_is_a_miss() -> None:
    made = recipe()
    desk = Desk([stored(made, fresh_in_ms=-10)], [[1, NOW_MS]], [1], loads=Profile(name="Bob"))
    assert desk.perform(call_of(made)) == Profile(name="Bob")
    assert desk.wants == ["board", "load", "close"]


def test_a_stale_value_is_loaded_anew_by_one_and_served_to_the_others() -> None:
    made = recipe(stale=30)
    row = stored(made, fresh_in_ms=-1, until_in_ms=29_999)
    loading = Desk([row], [[1, NOW_MS]], [1], loads=Profile(name="Bob"))
    assert loading.perform(call_of(made)) == Profile(name="Bob")
    assert loading.wants == ["load", "close"]
    for answer in ([0, 9000], [2, 0]):
        other = Desk([row], [answer])
        assert other.perform(call_of(made)) == Profile(name="Ann")
        assert other.wants == []


def test_an_early_reload_is_the_likelier_the_nearer_the_end_and_the_longer_the_load() -> None:
    numbers = [(number + 0.5) / 1000 for number in range(1000)]

    def share(fresh_for_ms: int, cost_ms: int, early: float = 1) -> float:
        made, left = recipe(early=early), iter(numbers)
        made.cache.random = lambda: next(left)
        call = call_of(made)
        return sum(call._is_due(Entry(b"", b"", fresh_for_ms, cost_ms)) for _ in numbers) / 1000

    assert share(60_000, 100) == 0
    assert share(100, 100) == pytest.approx(math.exp(-1), abs=0.002)
    assert share(100, 100, early=2) == pytest.approx(math.exp(-0.5), abs=0.002)
    assert share(10, 100) == pytest.approx(math.exp(-0.1), abs=0.002)
    assert share(1, 100, early=0) == 0
    assert share(0, 0, early=0) == 1


def test_whoever_reloads_early_waits_for_it_and_the_others_do_not() -> None:
    made = recipe(early=1)
    made.cache.random = lambda: 0.99
    row = stored(made, fresh_in_ms=100)
    loading = Desk([row], [[1, NOW_MS]], [1], loads=Profile(name="Bob"))
    assert loading.perform(call_of(made)) == Profile(name="Bob")
    assert Desk([row], [[0, 9000]]).perform(call_of(made)) == Profile(name="Ann")


def test_an_error_of_the_function_gives_the_lease_back_and_is_raised() -> None:
    made = recipe()
    desk = Desk([ABSENT], [[1, NOW_MS]], [1], loads=ZeroDivisionError("no"))
    with pytest.raises(ZeroDivisionError):
        desk.perform(call_of(made))
    assert len(desk.driver.commands[-1]) == 5
    assert desk.driver.commands[-1][4] == desk.driver.commands[1][4]


def test_an_error_of_the_function_is_raised_even_where_the_lease_cannot_be_given_back() -> None:
    desk = Desk([ABSENT], [[1, NOW_MS]], BackendError("gone"), loads=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        desk.perform(call_of(recipe()))


def test_what_does_not_fit_the_annotation_is_an_error_and_gives_the_lease_back() -> None:
    desk = Desk([ABSENT], [[1, NOW_MS]], [1], loads=7)
    with pytest.raises(ValueError, match="Profile"):
        desk.perform(call_of(recipe()))
    assert len(desk.driver.commands[-1]) == 5


def test_a_backend_error_of_the_function_is_its_own() -> None:
    """A function may use Redis itself: its errors are no reason to call it again."""
    desk = Desk([ABSENT], [[1, NOW_MS]], [1], loads=BackendError("of the function"))
    with pytest.raises(BackendError, match="of the function"):
        desk.perform(call_of(recipe(on_error="call")))
    assert desk.wants == ["board", "load"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_server_that_does_not_answer_is_an_error_or_the_function_is_called_once(place: int, caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = [[ABSENT], [[1, NOW_MS]], BackendError("gone")][: place + 1]
    answers[place] = BackendError("gone")
    strict = Desk(*answers, loads=Profile(name="Bob"))
    with pytest.raises(BackendError, match="gone"):
        strict.perform(call_of(recipe()))

    lenient, call = Desk(*answers, loads=Profile(name="Bob")), call_of(recipe(on_error="call"))
    assert lenient.perform(call) == Profile(name="Bob")
    assert lenient.wants.count("load") == 1
    assert call.failed
    assert "memoized load" in caplog.text


def test_a_stale_value_is_better_than_a_call_where_the_server_does_not_answer() -> None:
    made = recipe(on_error="call", stale=30)
    desk = Desk([stored(made, fresh_in_ms=-1, until_in_ms=10)], BackendError("gone"))
    assert desk.perform(call_of(made)) == Profile(name="Ann")
    assert desk.wants == []


def test_a_refresh_takes_the_lease_from_whoever_has_it_and_raises_whatever_happens() -> None:
    made = recipe(on_error="call")
    desk = Desk([[1, NOW_MS]], [1], loads=Profile(name="Bob"))
    assert desk.perform(call_of(made), refresh=True) == Profile(name="Bob")
    assert desk.driver.commands[0][-1] == 1
    with pytest.raises(BackendError):
        Desk(BackendError("gone")).perform(call_of(made), refresh=True)


TIME = [b"1700000000", b"0"]


def test_without_scripts_the_entry_is_watched() -> None:
    made = recipe(ttl=60, stale=30, tags=("all",))
    desk = Desk([ABSENT], [TIME, [None, None, None], -2], [1] * 6, [TIME, None], loads=Profile(name="Bob"), scripts=False)
    assert desk.perform(call_of(made)) == Profile(name="Bob")

    token = desk.driver.commands[4][3]
    deadline = NOW_MS + 10_000
    assert desk.driver.commands[4:10] == [
        ("HSET", KEY, "lease", token, "lease_until", deadline),
        ("PEXPIREAT", KEY, deadline),
        ("ZREMRANGEBYSCORE", TAG, "-inf", f"({NOW_MS}"),
        ("ZADD", TAG, "GT", deadline, KEY),
        ("PEXPIREAT", TAG, deadline, "NX"),
        ("PEXPIREAT", TAG, deadline, "GT"),
    ]
    assert desk.driver.commands[-1] == ("HGET", KEY, "lease"), "the token was gone: nothing is stored"


def test_without_scripts_a_value_is_stored_while_the_token_is_there() -> None:
    made = recipe(ttl=60, stale=30)
    call = call_of(made)
    call._token = "mine"
    desk = Desk([ABSENT], [TIME, [None, None, None], -2], [1, 1], [TIME, b"mine"], [1, 1, 1], loads=Profile(name="Bob"), scripts=False)
    assert desk.perform(call) == Profile(name="Bob")
    fresh, until = NOW_MS + 60_000, NOW_MS + 90_000
    assert desk.driver.commands[-3:] == [
        ("HSET", KEY, "value", b'{"name":"Bob"}', "fresh", fresh, "until", until, "cost", 0, "schema", made.schema),
        ("HDEL", KEY, "lease", "lease_until"),
        ("PEXPIREAT", KEY, until),
    ]


@pytest.mark.parametrize(
    ("read", "wants"),
    [([None, b"other", b"%d" % (NOW_MS + 50)], "wait"), ([b"123", None, None], "look"), ([None, b"other", b"%d" % NOW_MS], "load")],
)
def test_without_scripts_the_lease_is_refused_as_the_script_does(read: list[Any], wants: str) -> None:
    made = recipe()
    answers: dict[str, list[Any]] = {
        "wait": [[TIME, read, -2], [TIME, [b"123", None, None], -2], [stored(made, fresh_in_ms=5)]],
        "look": [[TIME, read, -2], [stored(made, fresh_in_ms=5)]],
        "load": [[TIME, read, -2], [1, 1], [TIME, None]],
    }
    desk = Desk([ABSENT], *answers[wants], loads=Profile(name="Bob"), scripts=False)
    assert desk.perform(call_of(made)) == Profile(name="Bob" if wants == "load" else "Ann")


def test_without_scripts_a_failed_load_gives_back_only_its_own_lease() -> None:
    made = recipe(stale=30)
    row = stored(made, fresh_in_ms=-1, until_in_ms=500)
    call = call_of(made)
    call._token = "mine"
    lease: list[Any] = [[TIME, [row[1], None, None], 500], [1, 1]]
    mine = Desk([row], *lease, [[b"mine", row[2]]], [1, 1], loads=ZeroDivisionError(), scripts=False)
    with pytest.raises(ZeroDivisionError):
        mine.perform(call)
    assert mine.driver.commands[-2:] == [("HDEL", KEY, "lease", "lease_until"), ("PEXPIREAT", KEY, NOW_MS + 500)]

    taken = Desk([row], *lease, [[b"another", row[2]]], loads=ZeroDivisionError(), scripts=False)
    with pytest.raises(ZeroDivisionError):
        taken.perform(call_of(made))


def test_a_tag_is_dropped_a_hundred_entries_at_a_time() -> None:
    members = [b"k%d" % number for number in range(250)]
    pairs = [word for member in members for word in (member, b"1")]
    cache = BaseCache(Named(), "cache", 60, 10, "raise")
    driver = ScriptedDriver([[[b"7", pairs[:200]]], [[b"0", [*pairs[198:], b"k0", b"1"]]], [100, 100], [100, 100], [49, 50]])

    assert driver.run(cache._drop_tag("user:{user_id}", {"user_id": "a:b"})) == 249

    tag = "shop:cache::tag:user:a%3Ab"
    assert driver.commands[0] == ("ZSCAN", tag, b"0", "COUNT", 100)
    assert driver.commands[1] == ("ZSCAN", tag, b"7", "COUNT", 100)
    assert driver.commands[2] == ("UNLINK", *members[:100])
    assert driver.commands[-1] == ("ZREM", tag, *members[200:])
    driver.done()


def no_annotation(user_id: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return None


def only_none(user_id: int) -> None: ...


class Opaque:
    """A type Pydantic knows nothing of."""


def opaque(user_id: int) -> Opaque:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (no_annotation, {}, "no return annotation"),
        (only_none, {}, "no return annotation"),
        (opaque, {}, "cannot be the type of items"),
        (load, {"cache_ttl": None}, "no time to live"),
        (load, {"template": "user:{name}"}, "names 'name'"),
        (load, {"template": ":tag:x"}, "begin with ':'"),
        (load, {"template": ""}, "empty"),
        (load, {"tags": ("x:{name}",)}, "names 'name'"),
        (load, {"prefix": "a:"}, "prefix"),
        (load, {"ttl": 0}, "ttl"),
        (load, {"stale": -1}, "stale"),
        (load, {"early": -1}, "early"),
        (load, {"early": math.inf}, "early"),
        (load, {"on_error": "ignore"}, "on_error"),
    ],
)
def test_what_cannot_be_memoized_is_refused_when_it_is_decorated(function: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((MappingError, ValueError), match=message):
        recipe(function, **options)


def test_the_schema_of_a_value_is_another_where_its_class_is() -> None:
    class Old(BaseModel):
        name: str

    class New(BaseModel):
        name: str
        age: int = 0

    def old(user_id: int) -> Old: ...  # type: ignore[empty-body]

    def new(user_id: int) -> New: ...  # type: ignore[empty-body]

    def union(user_id: int) -> Old | New: ...  # type: ignore[empty-body]

    here = locals()
    made = [recipe(function, local=here) for function in (old, new, union, load)]
    assert len({one.schema for one in made}) == 4
    assert all(one.schema for one in made)


def test_a_type_that_is_defined_later_is_found_when_it_is_needed() -> None:
    names: dict[str, Any] = {}
    exec("def late(user_id: int) -> 'Late': ...", names)
    made = recipe(names["late"])
    with pytest.raises(MappingError, match="'Late' is not defined"):
        call_of(made)

    names["Late"] = Profile

    assert call_of(made)._items is made.items
    assert made.schema
