"""Many changed rows of classes that ask for more: JSON and nested models, unique values, a life."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError, computed_field

from redisorm import Field, RedisModel, UniqueViolationError
from redisorm.commands import Batch, Watch
from redisorm.flows.committing import CommitResult
from redisorm.unitofwork.state import state_of
from tests.unit.desk import NOW, Desk, committed, deleted, desk_that_agrees, holding, script_call, session_on, stored, talk
from tests.zoo.models import Document, Hot, Lease, Node, Pledge


class Place(BaseModel):
    """A nested model with an index."""

    city: str = Field(default="", index=True)
    street: str | None = None


class Note(BaseModel):
    """A nested model that may store nothing."""

    text: str | None = None


class Holder(RedisModel, prefix="holder"):
    """Unique values, and nested models, one with an index."""

    id: int
    email: str = Field(default="", unique=True)
    place: Place | None = None
    note: Note | None = None
    name: str = Field(default="", index=True)


class Visit(RedisModel, prefix="visit", ttl=60):
    """Rows that expire, in indexes of each kind."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    note: str = ""
    tags: set[str] = set()


class Member(RedisModel, prefix="member", unique_together=(("name", "number"),)):
    """Unique values of which one may be none, and two that are unique together."""

    id: int
    email: str | None = Field(default=None, unique=True)
    name: str = ""
    number: int = 0


class Booking(RedisModel, prefix="booking", ttl=60):
    """A unique value for as long as the row lives."""

    id: int
    seat: str = Field(unique=True)
    note: str = ""


class Shouting(RedisModel, prefix="shouting"):
    """A unique value that is computed."""

    id: int
    name: str = ""

    @computed_field
    def loud(self) -> Annotated[str, Field(unique=True)]:
        """The name in capitals."""
        return self.name.upper()


class Labelled(RedisModel, prefix="labelled"):
    """A collection whose elements stand in an index."""

    id: int
    name: str = Field(default="", index=True)
    tags: set[str] = Field(default=set(), index=True)


class Pass(RedisModel, prefix="pass", ttl=60, ttl_refresh="never"):
    """Rows that expire when they first were to."""

    id: int
    name: str = ""


class Permit(RedisModel, prefix="permit", ttl=60, ttl_refresh="never"):
    """The same in an index."""

    id: int
    name: str = Field(default="", index=True)


# ---- JSON and nested models ---------------------------------------------------------------------------------------------


def documents(count: int = 4) -> list[Document]:
    fields = {"meta": '{ "x": 1}', "history": "[]", "address": '{"city":"Oslo","zip":null,"place":null}', "maybe": "0"}
    return [stored(Document, {"id": str(pk), **fields}) for pk in range(count)]


def test_json_that_changed_in_place_is_written_and_other_spellings_of_the_same_are_not() -> None:
    objects = documents(6)
    desk, session = holding(objects)
    for document in objects[:4]:
        document.history.append(7)
    objects[0].meta["y"] = "é"
    objects[1].maybe = "text"
    assert objects[5].address is not None
    objects[5].address.city = "Rome"
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=5)
    call = script_call(talk(desk)[0])
    assert call.loaded == [
        (["meta", "history"], ["document:0"], ['{"x":1,"y":"é"}'.encode(), b"[7]"]),
        (["history", "maybe"], ["document:1"], [b"[7]", b'"text"']),
        (["history"], ["document:2", "document:3"], [b"[7]", b"[7]"]),
        (["address"], ["document:5"], [b'{"city":"Rome","zip":null,"place":null}']),
    ]
    assert (call.writes, session.dirty) == ([], [])
    for document in objects:
        document.history.append(8)
    session.rollback()
    assert [document.history for document in objects] == [[7], [7], [7], [7], [], []]


def test_json_that_comes_and_goes_is_set_and_removed() -> None:
    objects = documents()
    desk, session = holding(objects)
    for document in objects:
        document.address, document.tree = None, Node(name="n") if document.id == "2" else None
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.loaded == [([], [f"document:{pk}" for pk in (0, 1, 3)], []), (["tree"], ["document:2"], [b'{"name":"n","children":[]}'])]
    assert call.writes == [("HDEL", f"document:{pk}", "address") for pk in (0, 1, 3, 2)]


@pytest.mark.parametrize("value", [{"x": object()}, {"x": "\ud800"}, 7])
def test_json_that_does_not_fit_is_refused_with_its_key_and_nothing_is_sent(value: Any) -> None:
    objects = documents()
    desk, session = holding(objects)
    for document in objects:
        document.history.append(1)
    vars(objects[2])["meta"] = value
    with pytest.raises(ValidationError, match=r"Document document:2\nmeta"):
        session.commit()
    assert desk.round_trips == 0


def test_nested_models_are_written_field_by_field_with_the_markers_of_those_that_store_nothing_else() -> None:
    objects = [stored(Holder, {"id": pk, "email": f"{pk}@x", "note.text": "s"}) for pk in range(6)]
    objects += [stored(Holder, {"id": pk, "email": f"{pk}@x", "note": "{}"}) for pk in range(6, 8)]
    desk, session = holding(objects)
    for one in objects:
        assert one.note is not None
        one.note.text = None if one.id in (4, 5) else f"s{one.id}"
    objects[3].note = None
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.loaded == [
        (["note.text"], ["holder:0", "holder:1", "holder:2"], ["s0", "s1", "s2"]),
        ([], ["holder:3"], []),
        (["note"], ["holder:4", "holder:5"], ["{}", "{}"]),
        (["note.text"], ["holder:6", "holder:7"], ["s6", "s7"]),
    ]
    assert call.writes == [
        *(("HDEL", f"holder:{pk}", "note.text") for pk in (3, 4, 5)),
        ("HDEL", "holder:6", "note"),
        ("HDEL", "holder:7", "note"),
    ]
    assert session.dirty == []


def test_nested_value_that_does_not_fit_is_refused_with_its_key_and_nothing_is_sent() -> None:
    objects = [stored(Holder, {"id": pk, "email": f"{pk}@x", "place.street": "s"}) for pk in range(4)]
    desk, session = holding(objects)
    for one in objects:
        assert one.place is not None
        one.place.street = 7 if one.id == 1 else "t"  # type: ignore[assignment]
    with pytest.raises(ValidationError, match=r"Holder holder:1\n`place\.street`"):
        session.commit()
    assert desk.round_trips == 0


def test_rows_in_which_an_index_of_a_nested_model_changed_are_changes_of_their_own() -> None:
    objects = [stored(Holder, {"id": pk, "email": f"{pk}@x", "name": "n", "place.city": "Oslo"}) for pk in range(8)]
    desk, session = holding(objects)
    for one in objects:
        one.name = "new"
    assert objects[1].place is not None
    objects[1].place.city = "Rome"
    objects[2].place = None
    session.commit()
    call = script_call(talk(desk)[0])
    assert [keys for _, keys, _ in call.loaded] == [[f"holder:{pk}" for pk in (0, 3, 4, 5, 6, 7)]]
    assert [command for command in call.writes if command[0] in ("HSET", "HDEL")] == [
        ("HSET", "holder:1", "name", "new", "place.city", "Rome"),
        ("HSET", "holder:2", "name", "new"),
        ("HDEL", "holder:2", "place.city"),
    ]


def test_rows_whose_elements_stand_in_an_index_are_changes_of_their_own_where_these_changed() -> None:
    desk, session = holding(objects := [stored(Labelled, {"id": pk, "name": "a"}, [b"t"]) for pk in range(7)])
    for one in objects[:5]:
        one.name = "b"
    objects[0].tags.add("u")
    objects[5].tags.discard("t")
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=6)
    call = script_call(talk(desk)[0])
    assert call.loaded == [(["name"], [f"labelled:{pk}" for pk in range(1, 5)], ["b"] * 4)]
    assert [command for command in call.writes if command[0] not in ("ZADD", "ZREM")] == [
        ("HSET", "labelled:0", "name", "b"),
        ("SADD", "labelled:0:tags", b"u"),
        ("UNLINK", "labelled:5:tags"),
    ]
    assert [command for command in call.writes if command[0] == "ZREM"] == [
        ("ZREM", "labelled::name:a", "0", "1", "2", "3", "4"),
        ("ZREM", "labelled::tags:t", "5"),
    ]


# ---- unique values ------------------------------------------------------------------------------------------------------


def members() -> list[Member]:
    return [stored(Member, {"id": pk, "email": f"{pk}@x" if pk else None, "name": "n", "number": pk}) for pk in range(4)]


def test_unique_values_are_given_up_and_taken_where_the_former_ones_are_theirs_and_the_new_ones_free() -> None:
    desk, session = holding(objects := members())
    objects[0].email, objects[3].email = "0@y", None
    for member in objects[1:3]:
        member.email = f"{member.id}@y"
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=4)
    call = script_call(talk(desk)[0])
    assert call.absent == [f"member:{pk}::memo" for pk in range(4)] + [f"member::unique:email:{pk}@y" for pk in range(3)]
    assert call.rows[1] == (("HMGET", "member:1", "email", ":ttl"), [b"=1@x", b"-"])
    assert call.reads == [(("GET", f"member::unique:email:{pk}@x"), b"$1:%d" % pk) for pk in (1, 2, 3)]
    assert call.writes == [
        ("HDEL", "member:3", "email"),
        ("ZREM", "member::email:", "0"),
        ("UNLINK", *(f"member::unique:email:{pk}@x" for pk in (1, 2, 3))),
        ("ZADD", "member::email:", "inf", "3"),
        *(("SET", f"member::unique:email:{pk}@y", str(pk)) for pk in range(3)),
    ]
    assert session.dirty == []


def test_values_that_are_unique_together_change_with_any_of_them() -> None:
    desk, session = holding(objects := members())
    for member in objects:
        member.number += 10
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.rows[3] == (("HMGET", "member:3", "name", "number", ":ttl"), [b"=n", b"=3", b"-"])
    assert call.writes == [
        ("UNLINK", *(f"member::unique:name+number:n:{pk}" for pk in range(4))),
        *(("SET", f"member::unique:name+number:n:{pk + 10}", str(pk)) for pk in range(4)),
    ]


def test_unique_value_that_goes_from_one_row_to_another_is_looked_at() -> None:
    rows = [[b"%d" % pk, None, b"%d@x" % pk if pk else None, b"n", b"%d" % pk] for pk in range(4)]
    owners = {f"member::unique:email:{pk}@x": b"%d" % pk for pk in range(1, 4)}

    def answer(request: Batch | Watch) -> Any:
        if request.commands[0][0] == "GET":
            return [owners.get(str(command[1])) for command in request.commands]
        return [one for texts in rows for one in (texts, -1, [])] if isinstance(request, Watch) else [1] * len(request.commands)

    desk = Desk(answer, supports={"EVALSHA": True})
    session = session_on(desk)
    session.add_all(objects := members())
    for member in objects:
        member.email = {1: "2@x", 2: "1@x"}.get(member.id, f"{member.id}@y")
    session.commit()
    assert isinstance(talk(desk)[0], Watch)
    taken = [command[1:3] for command in talk(desk)[-1].commands if command[0] == "SET"]
    assert taken == [(f"member::unique:email:{email}", str(pk)) for pk, email in enumerate(("0@y", "2@x", "1@x", "3@y"))]
    assert ("UNLINK", "member::unique:email:3@x") in talk(desk)[-1].commands


def test_unique_value_that_two_rows_take_is_refused_and_nothing_is_sent() -> None:
    desk, session = holding(objects := members())
    for member in objects:
        member.email = "same"
    with pytest.raises(UniqueViolationError, match="same"):
        session.commit()
    assert desk.round_trips == 0


# ---- rows that expire ---------------------------------------------------------------------------------------------------


def test_rows_that_expire_and_their_collections_get_one_deadline_anew() -> None:
    objects = [stored(Lease, {"id": pk, "holder": "a", "hits": 1}, [b"t"]) for pk in range(5)]
    desk, session = holding(objects)
    for lease in objects[:4]:
        lease.holder = "b"
    objects[0].tags.add("u")
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=4)
    call = script_call(talk(desk)[0])
    keys = [f"lease:{pk}" for pk in range(4)]
    assert call.loaded == [(["holder"], keys, ["b"] * 4)]
    assert call.rows == [(("HMGET", key, ":ttl"), [b"-"]) for key in keys]
    assert call.deadlines == dict.fromkeys(keys, NOW + 60_000)
    assert call.types == {"lease:0:tags": "set"}
    assert call.writes == [("SADD", "lease:0:tags", b"u"), *(("PEXPIREAT", f"{key}:tags", NOW + 60_000) for key in keys)]
    assert session.dirty == []
    assert [state_of(lease).life for lease in objects] == [None] * 5


def test_rows_whose_lives_nothing_restarts_keep_their_deadlines() -> None:
    call = committed([stored(Pass, {"id": pk, "name": "a"}) for pk in range(4)], name="b")
    assert call.loaded == [(["name"], [f"pass:{pk}" for pk in range(4)], ["b"] * 4)]
    assert (call.deadlines, call.writes) == ({}, [])


def test_deadline_that_rows_keep_is_looked_up_where_entries_or_collections_have_it_too() -> None:
    answers = [answer for pk in range(4) for answer in ([b"%d" % pk, None, b"a"], NOW, [b"name:a", b""])]
    desk = desk_that_agrees(answers)
    session = session_on(desk)
    permits = [stored(Permit, {"id": pk, "name": "a"}) for pk in range(4)]
    session.add_all(permits)
    for permit in permits:
        permit.name = "b"
    session.commit()
    assert isinstance(talk(desk)[0], Watch)
    desk = desk_that_agrees([answer for pk in range(4) for answer in ([b"%d" % pk, None], b"none", NOW)])
    session = session_on(desk)
    pledges = [stored(Pledge, {"id": pk, "value": "a"}, []) for pk in range(4)]
    session.add_all(pledges)
    for pledge in pledges:
        pledge.tags.add("t")
    session.commit()
    assert isinstance(talk(desk)[0], Watch)


def visits(count: int = 4) -> list[Visit]:
    return [stored(Visit, {"id": pk, "name": "n", "city": "Oslo" if pk else None, "age": pk, "note": "x"}, []) for pk in range(count)]


def test_rows_that_expire_are_entered_anew_in_all_indexes_where_their_memos_are_as_their_entries_were() -> None:
    desk, session = holding(objects := visits())
    for visit in objects:
        visit.note = "y"
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=4)
    call = script_call(talk(desk)[0])
    memos: tuple[Any, ...] = [], ["visit:1::memo", "visit:2::memo", "visit:3::memo"], []
    assert call.loaded == [(["note"], ["visit:0"], ["y"]), (["note"], ["visit:1", "visit:2", "visit:3"], ["y"] * 3), memos]
    assert call.deadlines == {f"visit:{pk}": NOW + 60_000 for pk in range(4)}
    assert call.absent == []
    assert call.rows[0] == (("HMGET", "visit:0::memo", "name", "city:", "age"), [b"=n\x000", b"=", b"="])
    assert call.rows[1] == (("HMGET", "visit:0", "name", "age", ":ttl", "city"), [b"=n", b"=0", b"-", b"-"])
    assert call.rows[4] == (("HMGET", "visit:3", "name", "city", "age", ":ttl"), [b"=n", b"=Oslo", b"=3", b"-"])
    assert call.rows[7] == (("HMGET", "visit:3::memo", "name", "city:Oslo", "age"), [b"=n\x003", b"=", b"="])
    until = str(NOW + 60_000)
    assert call.writes == [
        *(("PEXPIREAT", f"visit:{pk}:tags", NOW + 60_000) for pk in range(4)),
        ("ZADD", "visit::all", *(word for pk in "0123" for word in (until, pk))),
        ("ZADD", "visit::name", *(word for pk in "0123" for word in ("0", f"n\0{pk}"))),
        ("ZADD", "visit::city:", until, "0"),
        ("ZADD", "visit::age", *(word for pk in "0123" for word in (pk, pk))),
        ("ZADD", "visit::city:Oslo", *(word for pk in "123" for word in (until, pk))),
        ("ZRANGE", "visit::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 8),
    ]


def test_memos_change_where_entries_change() -> None:
    desk, session = holding(objects := visits(5)[1:])
    for visit in objects:
        visit.city, visit.tags = "Rome" if visit.id % 2 else "Oslo", {"t"}
    objects[3].name = "m"
    session.commit()
    call = script_call(talk(desk)[0])
    assert [keys for _, keys, _ in call.loaded] == [["visit:1", "visit:3"], ["visit:2"], ["visit:4"]]
    until = str(NOW + 60_000)
    assert [command for command in call.writes if command[0] != "PEXPIREAT"] == [
        *(("SADD", f"visit:{pk}:tags", b"t") for pk in range(1, 5)),
        ("ZREM", "visit::city:Oslo", "1", "3"),
        ("ZREM", "visit::name", "n\x004"),
        ("ZADD", "visit::all", until, "1", until, "3", until, "2", until, "4"),
        ("ZADD", "visit::name", "0", "n\x001", "0", "n\x003", "0", "n\x002", "0", "m\x004"),
        ("ZADD", "visit::city:Rome", until, "1", until, "3"),
        ("ZADD", "visit::age", "1", "1", "3", "3", "2", "2", "4", "4"),
        ("ZADD", "visit::city:Oslo", until, "2", until, "4"),
        *(
            command
            for pk in (1, 3)
            for command in (("HSET", f"visit:{pk}::memo", "city:Rome", ""), ("HDEL", f"visit:{pk}::memo", "city:Oslo"))
        ),
        ("HSET", "visit:4::memo", "name", "m\x004"),
        ("ZRANGE", "visit::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 8),
    ]


def test_row_that_expires_with_a_life_of_its_own_is_a_change_of_its_own() -> None:
    leases = [stored(Lease, {"id": pk, "holder": "a"}, [], life="90" if pk == 4 else None) for pk in range(5)]
    call = committed(leases, holder="b")
    assert [keys for _, keys, _ in call.loaded] == [[f"lease:{pk}" for pk in range(4)]]
    assert ("PEXPIREAT", "lease:4", NOW + 90_000) in call.writes


def test_deleted_rows_that_expire_leave_their_indexes_and_their_memos_go_with_them() -> None:
    call = deleted(visits())
    assert call.absent == []
    assert call.rows[0] == (("HMGET", "visit:0::memo", "name", "city:", "age"), [b"=n\x000", b"=", b"="])
    assert (("HMGET", "visit:1::memo", "name", "city:Oslo", "age"), [b"=n\x001", b"=", b"="]) in call.rows
    assert call.rows[1] == (("HMGET", "visit:0", "name", "age", ":ttl", "city"), [b"=n", b"=0", b"-", b"-"])
    assert call.deadlines == {}
    everyone = ["visit:0", "visit:1", "visit:2", "visit:3"]
    assert call.writes == [
        ("UNLINK", *everyone, *(f"{key}:tags" for key in everyone)),
        ("ZREM", "visit::all", "0", "1", "2", "3"),
        ("ZREM", "visit::name", *(f"n\0{pk}" for pk in range(4))),
        ("ZREM", "visit::city:", "0"),
        ("ZREM", "visit::age", "0", "1", "2", "3"),
        ("ZREM", "visit::city:Oslo", "1", "2", "3"),
        ("UNLINK", *(f"{key}::memo" for key in everyone)),
        ("ZRANGE", "visit::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 8),
    ]
    permits = [f"permit:{pk}" for pk in range(4)]
    loaded = deleted([stored(Permit, {"id": pk, "name": "a"}) for pk in range(4)]).loaded
    assert [keys for _, keys, _ in loaded] == [[f"{key}::memo" for key in permits], permits]


def test_deleted_rows_give_up_the_unique_values_that_are_theirs() -> None:
    call = deleted(members())
    assert call.absent == [f"member:{pk}::memo" for pk in range(4)]
    assert call.rows[0] == (("HMGET", "member:0", "name", "number", ":ttl", "email"), [b"=n", b"=0", b"-", b"-"])
    assert call.rows[1] == (("HMGET", "member:1", "email", "name", "number", ":ttl"), [b"=1@x", b"=n", b"=1", b"-"])
    assert call.reads[:3] == [
        (("GET", "member::unique:name+number:n:0"), b"$1:0"),
        (("GET", "member::unique:email:1@x"), b"$1:1"),
        (("GET", "member::unique:name+number:n:1"), b"$1:1"),
    ]
    assert call.writes == [
        ("UNLINK", *(f"member:{pk}" for pk in range(4))),
        ("ZREM", "member::all", "0", "1", "2", "3"),
        ("ZREM", "member::email:", "0"),
        (
            "UNLINK",
            "member::unique:name+number:n:0",
            *(f"member::unique:{one}" for pk in (1, 2, 3) for one in (f"email:{pk}@x", f"name+number:n:{pk}")),
        ),
    ]


def bookings() -> list[Booking]:
    return [stored(Booking, {"id": pk, "seat": f"s{pk}"}) for pk in range(4)]


def test_unique_values_of_rows_that_expire_are_theirs_until_the_new_deadline() -> None:
    desk, session = holding(objects := bookings())
    for booking in objects:
        booking.note = "new"
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.loaded == [(["note"], [f"booking:{pk}" for pk in range(4)], ["new"] * 4)]
    assert call.rows[0] == (("HMGET", "booking:0::memo", "unique:seat:s0"), [b"="])
    assert call.rows[4] == (("HMGET", "booking:0", "seat", ":ttl"), [b"=s0", b"-"])
    assert call.reads == [(("GET", f"booking::unique:seat:s{pk}"), b"$1:%d" % pk) for pk in range(4)]
    until = NOW + 60_000
    assert call.writes == [
        ("ZADD", "booking::all", *(word for pk in "0123" for word in (str(until), pk))),
        *(("SET", f"booking::unique:seat:s{pk}", str(pk), "PXAT", until) for pk in range(4)),
        ("ZRANGE", "booking::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 8),
    ]


def test_deleted_rows_that_expire_give_up_unique_values_that_their_memos_tell_of() -> None:
    call = deleted(bookings())
    assert call.rows[0] == (("HMGET", "booking:0::memo", "unique:seat:s0"), [b"="])
    assert [command[0] for command in call.writes] == ["UNLINK", "ZREM", "UNLINK", "UNLINK", "ZRANGE"]
    assert call.writes[2] == ("UNLINK", *(f"booking::unique:seat:s{pk}" for pk in range(4)))
    assert call.writes[3] == ("UNLINK", *(f"booking:{pk}::memo" for pk in range(4)))


def test_rows_of_which_something_follows_from_other_values_or_expires_by_itself_are_looked_at() -> None:
    assert committed([stored(Hot, {"id": pk, "name": "a"}) for pk in range(4)], name="b").loaded == []
    looks = [answer for pk in range(4) for answer in ([b"%d" % pk, None, b"A%d" % pk], -1, [])], [b"0", b"1", b"2", b"3"]
    desk = desk_that_agrees(*looks)
    session = session_on(desk)
    for one in [stored(Shouting, {"id": pk, "name": f"a{pk}"}) for pk in range(4)]:
        session.delete(one)
    session.commit()
    assert isinstance(talk(desk)[0], Watch)
