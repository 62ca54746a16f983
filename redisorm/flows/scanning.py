"""Finding the rows of a class without indexes: SCAN goes through the whole keyspace, a bounded number of keys at a time.

Only primary keys can be asked for here. SCAN may bring a key twice, so those that were seen are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from redisorm.commands import Batch, Flow
from redisorm.keys import Keyspace
from redisorm.mapping.mapper import Mapper

from .candidates import Candidates, Known, in_order
from .loading import exists
from .planning import Plan, cover, select
from .sources import Named, Source

__all__ = ["scan"]

_KEYS_AT_ONCE = 1000


def scan(plan: Plan, *, loosely: bool = False) -> Flow[Candidates]:
    """Find the rows of a class without indexes, in the order of their primary keys.

    Args:
        loosely: Whether rows that are not there may be among those that were named, since they will be loaded.
    """
    keyspace = plan.keyspace
    named: dict[Source, set[bytes]] = {term.source: {term.source.member} for term in plan.terms() if isinstance(term.source, Named)}
    sizes: dict[Source, int] = {plan.ledger: 2**62, **dict.fromkeys(named, 1)}
    covering = cover(plan.root, sizes, plan.ledger)
    if plan.ledger not in covering:
        members = select(plan.root, {member for source in covering for member in named[source]}, named)
        if members and not loosely:
            members = yield from _present(keyspace, members)
    else:
        members = select(plan.root, (yield from _every(plan.mapper, keyspace)), named)
    return Known(in_order(plan, members, plan.sorts, {}))


def _present(keyspace: Keyspace, members: set[bytes]) -> Flow[set[bytes]]:
    keys = {keyspace.row(member.decode()): member for member in sorted(members)}
    present = yield from exists(list(keys))
    return {member for key, member in keys.items() if key in present}


def _every(mapper: Mapper[Any], keyspace: Keyspace) -> Flow[set[bytes]]:
    members: set[bytes] = set()
    cursor: bytes | int = 0
    while True:
        ((cursor, keys),) = yield Batch([("SCAN", cursor, "MATCH", keyspace.pattern, "COUNT", _KEYS_AT_ONCE, "TYPE", "hash")], resend=True)
        members.update(_members(mapper, keyspace, keys))
        if int(cursor) == 0:
            return members


def _members(mapper: Mapper[Any], keyspace: Keyspace, keys: Iterable[bytes]) -> Iterator[bytes]:
    """The primary keys of rows of the class: what the class would spell differently, or not at all, is another program's."""
    for key in keys:
        try:
            text = keyspace.row_text(key.decode())
            if text is not None and mapper.pk_text(mapper.pk_value(text)) == text:
                yield text.encode()
        except (UnicodeError, ValidationError):
            continue
