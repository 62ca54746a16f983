"""The query without its colour: what it asks for, and its verbs as flows that the faces in `sync` and `asyncio` perform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from typing_extensions import Self

from redisorm.commands import Command, Flow
from redisorm.errors import MultipleFoundError, NotFoundError, QueryError
from redisorm.expressions import as_order
from redisorm.flows.decoding import LOADED
from redisorm.flows.explaining import first_request, recorded, shown
from redisorm.flows.loading import BATCH, load_each
from redisorm.flows.planning import sorts_of
from redisorm.flows.searching import count
from redisorm.flows.sources import SMALL
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.mapping.columns import condition_of

from .bulk import delete_rows, update_rows
from .reading import Asked, Holder, Reading, sweep

__all__ = ["BaseQuery"]

M = TypeVar("M", bound=MappedModel)


class BaseQuery(Generic[M]):
    """What both colours of a query share. A query is lazy and never changes: each method that narrows it returns another."""

    def __init__(self, model: type[M], session: Any, conditions: tuple[object, ...], equals: dict[str, Any]) -> None:
        self._model = model
        self._session = session
        mapper = mapper_of(model)
        self._asked: Asked[M] = Asked(mapper, condition_of(model, conditions, equals, mapper_of), (), 0, None)

    def __repr__(self) -> str:
        asked = self._asked
        parts = [f"{self._model.__name__}.find({'' if asked.expression is None else repr(asked.expression)})"]
        if asked.sorts:
            parts.append(f"order_by({', '.join(f'desc({one.name})' if one.descending else one.name for one in asked.sorts)})")
        parts += [f"offset({asked.offset})"] if asked.offset else []
        parts += [f"limit({asked.limit})"] if asked.limit is not None else []
        return f"<{type(self).__name__} {'.'.join(parts)}>"

    def _with(self, **changes: Any) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _asked=replace(self._asked, **changes))
        return other

    # ---- narrowing --------------------------------------------------------------------------------------------------------

    def order_by(self, *fields: object) -> Self:
        """Sort by fields, each further one among equals of those before it; `desc(field)` turns one round.

        Rows without a value come last, in both directions. Among equals, and without any order, the order is not specified, but
        the same as long as the data are. A second call replaces the first. A primary key without an index is sorted here,
        which reads the keys of all rows that fit.

        Raises:
            NotIndexedError: A field has no index that keeps an order.
        """
        return self._with(sorts=sorts_of(self._asked.mapper, map(as_order, fields)))

    def limit(self, count: int) -> Self:
        """Find no more rows than so many."""
        return self._with(limit=_counted("limit", count))

    def offset(self, count: int) -> Self:
        """Leave out so many rows at the beginning. They are looked for all the same, so that a high offset costs."""
        return self._with(offset=_counted("offset", count))

    # ---- reading ----------------------------------------------------------------------------------------------------------

    def _all(self, holder: Holder, namespace: str) -> Flow[list[M]]:
        reading = Reading(self._asked, holder, namespace)
        found: list[M] = []
        while batch := (yield from reading.batch()):
            found += batch
        return found

    def _few(self, holder: Holder, namespace: str, most: int) -> Flow[list[M]]:
        limit = self._asked.limit
        return (yield from self._with(limit=most if limit is None else min(limit, most))._all(holder, namespace))

    def _first(self, holder: Holder, namespace: str) -> Flow[M | None]:
        found = yield from self._few(holder, namespace, 1)
        return found[0] if found else None

    def _one(self, holder: Holder, namespace: str) -> Flow[M]:
        found = yield from self._few(holder, namespace, 2)
        if not found:
            raise NotFoundError(f"no row fits {self!r}: use first(), which returns None then", model=self._model)
        if len(found) > 1:
            raise MultipleFoundError(
                f"more than one row fits {self!r}, {found[0].pk!r} and {found[1].pk!r} among them: narrow the conditions, or use first()",
                model=self._model,
            )
        return found[0]

    def _pks(self, namespace: str) -> Flow[list[Any]]:
        asked = self._asked
        if asked.limit == 0:
            return []
        plan = yield from asked.plan(asked.mapper.keyspace(namespace))
        candidates = yield from asked.candidates(plan)
        end = None if asked.limit is None else asked.offset + asked.limit
        members: list[bytes] = []
        while end is None or len(members) < end:
            part = yield from candidates.take(SMALL if end is None else min(SMALL, end - len(members)))
            if not part:
                break
            members += part
        yield from sweep(plan)
        return asked.mapper.pk_values([member.decode() for member in members[asked.offset :]])

    def _count(self, namespace: str) -> Flow[int]:
        asked = self._asked
        if asked.limit == 0:
            return 0
        if asked.mapper.indexed:
            plan = yield from asked.plan(asked.mapper.keyspace(namespace))
            total = yield from count(plan)
            yield from sweep(plan)
        else:
            total = len((yield from self._with(offset=0, limit=None, sorts=())._pks(namespace)))
        left = max(total - asked.offset, 0)
        return left if asked.limit is None else min(left, asked.limit)

    def _exists(self, namespace: str) -> Flow[bool]:
        if self._asked.limit == 0:
            return False
        return bool((yield from self._with(sorts=(), limit=1)._pks(namespace)))

    def _explain(self, namespace: str) -> Flow[str]:
        asked = self._asked
        keyspace = asked.mapper.keyspace(namespace)
        sent: list[Sequence[Command]] = []
        plan = yield from asked.plan(keyspace)
        candidates = yield from recorded(asked.candidates(plan, loosely=True), sent)
        count = BATCH if asked.limit is None else min(BATCH, asked.offset + asked.limit)
        members = yield from recorded(candidates.take(count), sent)
        texts = [member.decode() for member in members[asked.offset :]]
        if texts:
            sent.append(first_request(load_each(asked.mapper, keyspace, texts[:1], LOADED)))
        return shown(sent, more_rows=len(texts) - 1)

    # ---- writing ----------------------------------------------------------------------------------------------------------

    def _delete(self, namespace: str) -> Flow[int]:
        return (yield from delete_rows(self._asked, namespace))

    def _update(self, namespace: str, values: dict[str, Any]) -> Flow[int]:
        return (yield from update_rows(self._asked, namespace, values))


def _counted(verb: str, count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise QueryError(f"{verb}({count!r}): write a number of rows, zero or more", value=count)
    return count
