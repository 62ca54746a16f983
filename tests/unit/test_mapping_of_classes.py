"""What can be mapped, and how what cannot be is refused when the class is defined."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import UUID, uuid4

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic import Field as PydanticField
from typing_extensions import Self

from redisorm import Field, GeoPoint, MappingError, RedisModel, Session, SessionError, SortedSet
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.loading import load
from redisorm.keys import Keyspace, escape, unescape
from redisorm.mapping.base import mapper_of

Indexed = Annotated[int, Field(ttl=60)]
T = TypeVar("T")


class Inner(BaseModel):
    city: str = ""


class WithList(BaseModel):
    items: list[int] = []


class Tree(BaseModel):
    name: str = ""
    below: list[Tree] = []


class Unknown:
    pass


def no_key() -> None:
    class Model(RedisModel):
        name: str


def two_keys() -> None:
    class Model(RedisModel):
        a: int = Field(primary_key=True)
        b: int = Field(primary_key=True)


def optional_key() -> None:
    class Model(RedisModel):
        id: str | None = None


def json_key() -> None:
    class Model(RedisModel):
        id: tuple[int, int]


def companion_key() -> None:
    class Model(RedisModel):
        id: int
        tags: set[str] = Field(default=set(), primary_key=True)


def optional_companion() -> None:
    class Model(RedisModel):
        id: int
        tags: set[str] | None = None


def nested_companion() -> None:
    class Model(RedisModel):
        id: int
        inner: WithList


def verb() -> None:
    class Model(RedisModel):
        id: int
        save: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]


def unknown_type() -> None:
    class Model(RedisModel):
        id: int
        thing: Unknown


def arbitrary_type() -> None:
    class Model(RedisModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        id: int
        thing: Unknown | None = None


def ambiguous_none() -> None:
    class Model(RedisModel):
        id: int
        text: str | None = "x"


def index() -> None:
    class Model(RedisModel):
        id: int
        things: dict[str, int] = Field(index=True)


def index_of_a_position() -> None:
    class Model(RedisModel):
        id: int
        place: GeoPoint = Field(index=True)


def lex_index_of_a_number() -> None:
    class Model(RedisModel):
        id: int
        age: int = Field(index="lex")


def geo_index_of_text() -> None:
    class Model(RedisModel):
        id: int
        place: str = Field(index="geo")


def index_named_like_a_key() -> None:
    class Model(RedisModel):
        id: int
        all: str = Field(index=True)


def unique() -> None:
    class Model(RedisModel):
        id: int
        emails: dict[str, str] = Field(unique=True)


def unique_companion() -> None:
    class Model(RedisModel):
        id: int
        tags: set[str] = Field(default=set(), unique=True)


def unique_together() -> None:
    class Model(RedisModel, unique_together=(("a", "b"),)):
        id: int
        a: str = ""


def required_with_a_life() -> None:
    class Model(RedisModel):
        id: int
        code: str = Field(ttl=5)


def companion_with_a_life() -> None:
    class Model(RedisModel):
        id: int
        tags: set[str] = Field(default=set(), ttl=5)


def nested_with_a_life() -> None:
    class Model(RedisModel):
        id: int
        inner: Inner | None = Field(default=None, ttl=5)


def no_life() -> None:
    class Model(RedisModel, ttl=0):
        id: int


def field_without_life() -> None:
    class Model(RedisModel):
        id: int
        code: str = Field(default="", ttl=-1)


def odd_refresh() -> None:
    class Model(RedisModel, ttl_refresh="sometimes"):
        id: int


def reserved_prefix() -> None:
    class Model(RedisModel, prefix="a::b"):
        id: int


def misspelled_option() -> None:
    class Model(RedisModel, prefx="model"):
        id: int


def database_by_its_url() -> None:
    class Model(RedisModel, database="redis://:secret@host"):
        id: int


REFUSED: list[tuple[Callable[[], None], str]] = [
    (no_key, "no primary key.*id"),
    (two_keys, "two primary keys"),
    (optional_key, "cannot be a primary key"),
    (json_key, "cannot be a primary key"),
    (companion_key, "cannot be the primary key"),
    (optional_companion, r"Model\.tags.*cannot be optional.*inline=True"),
    (nested_companion, r"Model\.inner\.items.*inline=True"),
    (verb, r"Model\.save.*verb"),
    (unknown_type, "Unknown"),
    (arbitrary_type, r"Model\.thing.*cannot be stored"),
    (ambiguous_none, r"Model\.text.*null"),
    (index, r"Model\.things.*index=True needs a scalar"),
    (index_of_a_position, r"Model\.place.*index='geo'"),
    (lex_index_of_a_number, r"Model\.age.*needs a text field"),
    (geo_index_of_text, r"Model\.place.*GeoPoint"),
    (index_named_like_a_key, r"Model\.all.*rename it"),
    (unique, r"Model\.emails cannot be unique"),
    (unique_companion, r"Model\.tags.*unique"),
    (unique_together, r"Model\.b cannot be unique"),
    (required_with_a_life, r"Model\.code.*default"),
    (companion_with_a_life, r"Model\.tags.*as long as its row"),
    (nested_with_a_life, r"Model\.inner.*inline=True"),
    (no_life, "longer than zero"),
    (field_without_life, r"Model\.code.*longer than zero"),
    (odd_refresh, "'write', 'read' or 'never'"),
    (reserved_prefix, "prefix 'a::b'"),
    (misspelled_option, "Model: prefx is no option"),
    (database_by_its_url, "database= is a str: give it a Database"),
]


@pytest.mark.parametrize(("define", "message"), REFUSED, ids=[define.__name__ for define, _ in REFUSED])
def test_what_cannot_be_mapped_is_refused_with_a_remedy(define: Callable[[], None], message: str) -> None:
    with pytest.raises(MappingError, match=message):
        define()


def read(model: type[Any], row: dict[str, bytes], *companions: Any) -> Any:
    """Load a row as a server would answer."""
    mapper = mapper_of(model)
    driver = ScriptedDriver([[[row.get(name) for name in mapper.fields], *companions]])
    (loaded,) = driver.run(load(mapper, mapper.keyspace(""), ["1"]))
    assert loaded is not None
    return loaded.obj


def test_options_come_from_annotated_and_from_aliases_of_it() -> None:
    class Model(RedisModel, prefix="options"):
        key: Annotated[int, Field(primary_key=True)]
        code: Indexed | None = None
        other: Annotated[int, Field(ttl=5), PydanticField(ge=1)] = PydanticField(default=1, le=9)

    mapper = mapper_of(Model)

    assert mapper.pk_name == "key"
    assert mapper.slots.lives == {"code": 60_000, "other": 5_000}
    assert "ttl" not in json.dumps(Model.model_json_schema())
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Model(key=1, other=0)


def test_class_options_are_inherited_but_the_prefix() -> None:
    class Base(RedisModel, ttl=60, versioned=True, abstract=True):
        id: int

    class HTTPRequest(Base, ttl_refresh="read"):
        url: str

    options = mapper_of(HTTPRequest).options

    assert (options.prefix, options.ttl_ms, options.versioned, options.ttl_refresh) == ("http_request", 60_000, True, "read")
    with pytest.raises(MappingError, match="abstract"):
        mapper_of(Base)
    with pytest.raises(MappingError, match="not a RedisModel"):
        mapper_of(Inner)


def test_options_of_other_bases_reach_them() -> None:
    class Labelled:
        label: ClassVar[str]

        def __init_subclass__(cls, *, label: str = "", **options: Any) -> None:
            super().__init_subclass__(**options)
            cls.label = label

    class Model(RedisModel, Labelled, prefix="labelled", label="of a model"):
        id: int

    assert (Model.label, mapper_of(Model).options.prefix) == ("of a model", "labelled")


def test_redeclared_field_warns_of_nothing_and_required_ones_stay_required() -> None:
    class Mixin(BaseModel):
        name: str

    class Base(RedisModel, prefix="redeclared"):
        id: int
        size: int

    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Model(Base, Mixin, prefix="redeclared2"):
            size: int = 3

    with pytest.raises(ValueError, match="name"):
        Model(id=1)  # type: ignore[call-arg]
    assert Model(id=1, name="x").size == 3


def test_assignment_that_a_validator_of_the_object_refuses_leaves_it_as_it_was() -> None:
    class Span(RedisModel, prefix="span"):
        id: int
        low: int = 0
        high: int = 5

        @model_validator(mode="after")
        def in_order(self) -> Self:
            if self.low > self.high:
                raise ValueError("the wrong way round")
            return self

    span = Span(id=1)

    with pytest.raises(ValidationError, match="the wrong way round"):
        span.low = 9
    assert (span.low, span.model_fields_set) == (0, {"id"})
    span.low = 3
    assert (span.low, span.model_fields_set) == (3, {"id", "low"})


def test_generic_classes_have_a_keyspace_for_each_parametrisation() -> None:
    class Box(RedisModel, Generic[T], prefix="box"):
        id: int
        content: T

    assert mapper_of(Box[int]).options.prefix == "box[int]"
    assert read(Box[int], {"id": b"1", "content": b"5"}).content == 5
    assert read(Box[str], {"id": b"1", "content": b"5"}).content == "5"


def test_forward_and_self_references() -> None:
    class Late(RedisModel, prefix="late"):
        id: int
        inner: Soon | None = None

    class Node(RedisModel, prefix="node"):
        id: int
        parent: Node | None = None

    with pytest.raises(MappingError, match="'Soon' in its annotations is not defined yet"):
        mapper_of(Late)

    class Soon(BaseModel):
        x: int = 0

    Late.model_rebuild(_types_namespace={"Soon": Soon})
    Node.model_rebuild(_types_namespace={"Node": Node})
    assert "inner.x" in mapper_of(Late).fields
    assert read(Node, {"id": b"2", "parent": b'{"id":1,"parent":null}'}).parent == Node(id=1)


def test_nested_model_that_contains_itself_is_json() -> None:
    class Forest(RedisModel, prefix="forest"):
        id: int
        tree: Tree = Tree()

    assert read(Forest, {"id": b"1", "tree": b'{"name":"a","below":[{"name":"b","below":[]}]}'}).tree.below[0].name == "b"


def test_validators_of_every_kind_wait_for_input() -> None:
    class Shouting(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def shout(cls, value: str) -> str:
            return value + "!"

    class Model(RedisModel, prefix="validators"):
        id: int
        word: Annotated[str, AfterValidator(lambda value: value + "!")]
        nested: Shouting
        many: list[Shouting] = Field(default=[], inline=True)

    loaded = read(Model, {"id": b"1", "word": b"a", "nested.word": b"b", "many": b'[{"word":"c"}]'})

    assert (loaded.word, loaded.nested.word, loaded.many[0].word) == ("a", "b", "c")
    assert type(loaded.many[0]) is Shouting
    assert Model(id=1, word="a", nested=Shouting(word="b")).word == "a!"


def test_habits_of_pydantic_hold_for_loaded_objects() -> None:
    class Model(RedisModel, prefix="habits"):
        model_config = ConfigDict(frozen=True)
        id: int
        name: str = ""
        hidden: str = PydanticField(default="", exclude=True)
        aliased: int = PydanticField(default=0, alias="other")
        tags: set[str] = set()
        _length: int = PrivateAttr(default=0)

        def model_post_init(self, context: Any, /) -> None:
            self._length = len(self.tags)

    loaded = read(Model, {"id": b"1", "hidden": b"h", "aliased": b"4"}, [b"x", b"y"])

    assert (loaded._length, loaded.hidden, loaded.aliased) == (2, "h", 4)
    with pytest.raises(ValueError, match="frozen"):
        loaded.name = "new"
    assert copy.deepcopy(loaded) == loaded.model_copy() == loaded
    assert list(loaded.model_dump()) == ["id", "name", "aliased", "tags"]


def test_extra_fields_are_kept_where_the_class_allows_them() -> None:
    class Open(RedisModel, prefix="open", extra="allow"):
        id: int

    mapper = mapper_of(Open)
    reply = {b"id": b"1", b"more": b'{"a":1}', b"plain": b"words", b":ttl": b"5"}
    (loaded,) = ScriptedDriver([[reply]]).run(load(mapper, Keyspace("", "open"), ["1"]))

    assert loaded is not None
    assert loaded.obj.model_extra == {"more": {"a": 1}, "plain": "words"}
    assert loaded.life == 5000


class Pickled(RedisModel, prefix="pickled"):
    id: UUID = PydanticField(default_factory=uuid4)
    when: datetime = datetime(2026, 1, 1)


def test_unpickled_object_keeps_its_values_and_its_key_is_a_given_one() -> None:
    obj = Pickled()

    again = pickle.loads(pickle.dumps(obj))

    assert again == obj
    assert "id" in again.model_fields_set
    assert "id" not in obj.model_fields_set


def test_primary_key_of_a_stored_object_cannot_be_assigned() -> None:
    from redisorm import Database

    with Database("memory://") as db:
        obj = Pickled()
        with Session.begin(db) as session:
            session.add(obj)
        with pytest.raises(SessionError, match="primary key"):
            obj.id = uuid4()


@pytest.mark.parametrize("text", ["", "a", "%", ":", "a:b%{c}\0", "ü", "%3A", "😀"])
def test_escaped_keys_can_be_read_back(text: str) -> None:
    assert unescape(escape(text)) == text
    assert ":" not in escape(text)


def test_key_that_would_fall_into_a_longer_prefix_is_refused() -> None:
    class Outer(RedisModel, prefix="outer"):
        id: str

    class Profile(RedisModel, prefix="outer:profile"):
        id: str

    with pytest.raises(ValueError, match="outer:profile"):
        mapper_of(Outer).keyspace("").row("profile")
    assert mapper_of(Profile).keyspace("ns").row("a:b") == "ns:outer:profile:a%3Ab"


def test_sorted_set_is_a_dict_in_ascending_order() -> None:
    scores = SortedSet({"b": 2, "a": 2, "c": 1})

    assert list(scores) == ["c", "a", "b"] == list(reversed(list(reversed(scores))))
    assert (scores.top(1), scores.bottom(1), scores.between(2, 3)) == ([("b", 2.0)], [("c", 1.0)], [("a", 2.0), ("b", 2.0)])
    assert (scores.rank("b"), scores.rank("c"), scores.rank("x")) == (0, 2, None)
    assert scores == {"a": 2, "b": 2, "c": 1}
    assert (list(scores.keys()), list(scores.values())) == (["c", "a", "b"], [1.0, 2.0, 2.0])
    assert copy.copy(scores) == pickle.loads(pickle.dumps(scores)) == scores | {} == scores
    scores |= {"d": 0}
    scores.add("e", 9)
    assert (scores.setdefault("f"), scores.setdefault("e", 1)) == (0.0, 9.0)
    assert scores.popitem() == ("e", 9.0)
    assert repr(SortedSet({"x": 1})) == "SortedSet({'x': 1.0})"
    assert SortedSet({"b": 2}, a=1) == {"a": 1.0, "b": 2.0}
    assert list(SortedSet({1: 1.0, "1": 1.0, "0": 1.0})) == ["0", 1, "1"]
    with pytest.raises(ValueError, match="NaN"):
        scores["x"] = float("nan")
    with pytest.raises(KeyError):
        SortedSet().popitem()
