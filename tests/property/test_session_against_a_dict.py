"""A session under random operations holds what a plain dict would, and so does the server after every commit."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from redisorm import Database, RedisModel, Session, SortedSet


class Address(BaseModel):
    city: str
    zip: str | None = None


class Person(RedisModel, prefix="person"):
    id: int
    name: str | None = None
    count: int = 0
    notes: dict[str, int] = {}
    address: Address | None = None
    tags: set[str] = set()
    jobs: list[str] = []
    scores: SortedSet[str] = SortedSet()


words = st.sampled_from(["", "a", "b", "ü", "x:y"])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.integers(0, 3)),
        st.tuples(st.just("name"), st.integers(0, 3), st.none() | words),
        st.tuples(st.just("note"), st.integers(0, 3), words, st.integers(0, 9)),
        st.tuples(st.just("address"), st.integers(0, 3), st.none() | words),
        st.tuples(st.just("zip"), st.integers(0, 3), st.none() | words),
        st.tuples(st.just("tag"), st.integers(0, 3), words),
        st.tuples(st.just("untag"), st.integers(0, 3), words),
        st.tuples(st.just("jobs"), st.integers(0, 3), st.lists(words, max_size=4)),
        st.tuples(st.just("score"), st.integers(0, 3), words, st.integers(-2, 2)),
        st.tuples(st.just("increment"), st.integers(0, 3), st.integers(-3, 3)),
        st.tuples(st.just("commit")),
        st.tuples(st.just("rollback")),
    ),
    max_size=30,
)


def change(person: Person, what: str, *values: Any) -> None:
    """Apply one change in place."""
    if what == "name":
        person.name = values[0]
    elif what == "note":
        person.notes[values[0]] = values[1]
    elif what == "address":
        person.address = None if values[0] is None else Address(city=values[0])
    elif what == "zip" and person.address is not None:
        person.address.zip = values[0]
    elif what == "tag":
        person.tags.add(values[0])
    elif what == "untag":
        person.tags.discard(values[0])
    elif what == "jobs":
        person.jobs[:] = values[0]
    elif what == "score":
        person.scores[values[0]] = values[1]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=operations)
@example(steps=[("add", 0), ("commit",), ("delete", 0), ("add", 0), ("delete", 0)])
def test_session_holds_what_a_dict_would(db: Database, steps: list[tuple[Any, ...]]) -> None:
    db.client.flushdb()
    committed: dict[int, Person] = {}
    waiting: dict[int, Person] = {}
    with Session(db) as session:
        for what, *values in steps:
            if what == "commit":
                session.commit()
                committed = {pk: person.model_copy(deep=True) for pk, person in waiting.items()}
            elif what == "rollback":
                session.rollback()
                waiting = {pk: person.model_copy(deep=True) for pk, person in committed.items()}
            elif _step(session, waiting, what, *values):
                committed = {pk: person.model_copy(deep=True) for pk, person in waiting.items()}
            for pk in range(4):
                assert session.get(Person, pk) == waiting.get(pk)
        session.commit()
    with Session(db) as fresh:
        assert {pk: person for pk in range(4) if (person := fresh.get(Person, pk)) is not None} == waiting
    found: list[Any] = list(db.client.keys("*"))
    keys = {key.decode().split(":")[1] for key in found}
    assert keys == {str(pk) for pk in waiting}


def _step(session: Session, waiting: dict[int, Person], what: str, pk: int, *values: Any) -> bool:
    """Do the same to the session and to the dict, and tell whether it was committed."""
    person = session.get(Person, pk)
    if what == "add" and person is None:
        session.add(Person(id=pk))
        waiting[pk] = Person(id=pk)
    elif person is None:
        return False
    elif what == "delete":
        session.delete(person)
        del waiting[pk]
    elif what == "increment":
        session.increment(person, "count", values[0])
        session.commit()
        waiting[pk].count += values[0]
        return True
    else:
        change(person, what, *values)
        change(waiting[pk], what, *values)
    return False
