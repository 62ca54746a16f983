"""Objects without one of their fields, as `model_construct` and `del` make them: refused by name before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from redisorm import RedisModel
from redisorm.unitofwork import verbs
from tests.unit.desk import Desk, agreeing, session_on, stored, talk


class Place(BaseModel):
    city: str
    street: str


class Shop(RedisModel, prefix="shop"):
    id: int
    name: str
    place: Place
    tags: set[str] = set()


class Item(RedisModel, prefix="item"):
    id: int
    name: str
    size: int
    tags: list[str] = []


def shop(number: int = 1, *, without: str = "") -> Shop:
    values: dict[str, Any] = {"id": number, "name": "a", "place": Place(city="Oslo", street="b"), "tags": {"c"}}
    made = Shop.model_construct(**values)
    if without in values:
        del vars(made)[without]  # pyright: ignore[reportIndexIssue]
    elif without:
        del vars(made.place)[without]  # pyright: ignore[reportIndexIssue]
    return made


@pytest.mark.parametrize("field", ["id", "name", "place", "street", "tags"])
def test_new_object_is_refused(field: str) -> None:
    desk = Desk(agreeing)
    with pytest.raises(ValidationError, match=f"Shop\n{field}\n  Field required"):
        desk.run(verbs.save(shop(without=field), None, ""))
    assert talk(desk) == []


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("field", ["name", "street", "tags"])
def test_commit_is_refused(field: str, count: int) -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    with session_on(desk) as session:
        session.add_all([*(shop(number) for number in range(2, count + 1)), shop(1, without=field)])
        with pytest.raises(ValidationError, match=field):
            session.commit()
        session.rollback()
    assert talk(desk) == []


@pytest.mark.parametrize("count", [1, 5])
def test_object_without_a_key_cannot_be_added(count: int) -> None:
    with session_on(Desk(agreeing)) as session:
        with pytest.raises(ValidationError, match="id"):
            session.add_all([*(shop(number) for number in range(2, count + 1)), shop(1, without="id")])
        session.rollback()


@pytest.mark.parametrize("field", ["name", "size", "tags"])
def test_one_of_many_that_are_spelled_together_is_refused(field: str) -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    items = [Item(id=number, name="a", size=1) for number in range(5)]
    del vars(items[3])[field]  # pyright: ignore[reportIndexIssue]
    with session_on(desk) as session:
        session.add_all(items)
        with pytest.raises(ValidationError, match=f"Item\n{field}\n  Field required"):
            session.commit()
        session.rollback()
    assert talk(desk) == []


def test_field_deleted_from_a_stored_object_is_refused_and_comes_back_by_a_rollback() -> None:
    one = stored(Item, {"id": 1, "name": "a", "size": 2}, [])
    desk = Desk(agreeing)
    with session_on(desk) as session:
        session.add(one)
        del one.name
        assert session.dirty == [one]
        with pytest.raises(ValidationError, match="Item\nname\n  Field required"):
            session.commit()
        session.rollback()
        assert one.name == "a"
    assert talk(desk) == []


def test_collection_deleted_from_a_stored_object_is_refused() -> None:
    one = stored(Shop, {"id": 1, "name": "a", "place.city": "b", "place.street": "c"}, [b"d"])
    del one.tags
    with pytest.raises(ValidationError, match="tags"):
        Desk(agreeing).run(verbs.save(one, None, ""))
