"""The state of the server that a commit takes for granted, so that one script can verify it and write in one round trip.

New rows are taken to be absent, loaded ones to be as they were loaded. Where that is wrong the script writes nothing, and
the commit looks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from redisorm.commands import Command, Reply
from redisorm.keys import LIFE, VERSION
from redisorm.mapping.encoder import as_bytes

from .changes import PERMANENT, Change, Kind, life_text
from .fate import fate_of
from .guarding import KeyType
from .guards import Observed
from .pieces import CHUNK
from .plan import Plan, Seen
from .scope import Scope, scope_of
from .standing import Standing, stand
from .tables import Rows

__all__ = ["Assumption", "assume"]


@dataclass(slots=True)
class Assumption:
    """What a commit takes for granted.

    Attributes:
        seen: As if it had been looked at.
        absent: Keys that must be absent.
        reads: Reads, and the replies they must have.
        types: Keys, and the types they must have, if they are there.
    """

    seen: Seen = field(default_factory=Seen)
    absent: list[str] = field(default_factory=list)
    reads: list[tuple[Command, Reply]] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)


def assume(plan: Plan, together: Sequence[Rows], now_ms: int) -> Assumption | None:
    """Work out what a commit can take for granted beside what the tables of rows say; `None` where it has to look."""
    if plan.counters:
        return None
    reads: list[tuple[Command, Reply]] = [(guard.read, guard.wanted) for guard in plan.guards if guard.wanted is not None]
    types = {guard.key: guard.kind for guard in plan.guards if isinstance(guard, KeyType)}
    assumed = Assumption(absent=list(plan.absent), reads=reads, types=types)
    for change in plan.rows:
        if change.only_if is not None or not _take_for_granted(change, assumed, now_ms):
            return None
    for one in together:
        one.live_from(now_ms)
        assumed.absent += one.absent()
        assumed.reads += one.reads()
        assumed.types |= one.types()
    if assumed.reads and assumed.absent and not _agree(assumed):
        return None
    others = {*assumed.absent, *(change.key for change in plan.changes)} if together else set()
    if not all(others.isdisjoint(one.keys) for one in together):
        return None
    return assumed if len(set(assumed.absent)) == len(assumed.absent) else None


def _agree(assumed: Assumption) -> bool:
    """Whether no key is taken to be absent and present at once, as where a value is handed from one row to another."""
    absent = set(assumed.absent)
    return not any(str(command[1]) in absent for command, _ in assumed.reads)


def _take_for_granted(change: Change, assumed: Assumption, now_ms: int) -> bool:
    mapper, life = change.mapper, change.former_life
    row = Observed(exists=True, version=change.version, life=life)
    fate = fate_of(change, row, now_ms)
    mortal = (mapper.options.ttl_ms if life is None else life) not in (None, PERMANENT)
    touched = () if change.difference is None else change.difference.companions
    if mortal and not fate.moved and (touched or mapper.indexed) and change.kind is not Kind.DELETE:
        return False  # the deadline it keeps would have to be read
    scope = scope_of(change, fate) if mapper.indexed else None
    names = () if scope is None else scope.fields
    if change.increments:
        names = dict.fromkeys([*(increment.leaf.name for increment in change.increments), *names])
    former = None if change.former is None else change.former(names)
    if former is None or len(former.texts) < len(names):
        return False
    texts: dict[str, Reply] = {mapper.pk_name: as_bytes(mapper.pk_leaf.codec.spell(change.pk))}
    texts[LIFE] = None if life is None else life_text(life).encode()
    if mapper.options.versioned:
        texts[VERSION] = None if change.version is None else str(change.version).encode()
    if names:
        row.texts = {name: None if text is None else as_bytes(text) for name, text in former.texts.items()}
        texts.update(row.texts)
    assumed.reads.append((("HMGET", change.key, *texts), list(texts.values())))
    for one in touched:
        assumed.types[change.keyspace.companion(change.key, one.companion.name)] = one.companion.kind
    assumed.seen.rows[mapper, change.key] = row
    if scope is None:
        return True
    row.elements, row.recalled = former.elements, mortal
    standing = assumed.seen.standings[mapper, change.key] = stand(change, row, fate, scope)
    return _take_indexes_for_granted(change, scope, standing, row, assumed)


def _take_indexes_for_granted(change: Change, scope: Scope, standing: Standing, row: Observed, assumed: Assumption) -> bool:
    keyspace = change.keyspace
    for index in scope.indexes:
        if index.companion is None:
            continue
        key, elements = keyspace.companion(change.key, index.name), row.elements[index.name]
        if len(elements) > CHUNK:
            return False
        if index.companion.kind == "list":
            assumed.reads.append((("LRANGE", key, 0, -1), list(elements)))
        elif index.companion.kind == "set":
            assumed.reads.append((("SCARD", key), len(elements)))
            assumed.reads += [(("SMISMEMBER", key, *elements), [1] * len(elements))] if elements else []
        else:
            return False
    memo = keyspace.memo(change.key)
    if row.recalled:
        remembered = standing.memo_before
        if not 0 < len(remembered) <= CHUNK:
            return False
        assumed.reads.append((("HMGET", memo, *remembered), list(map(str.encode, remembered.values()))))
    else:
        assumed.reads.append((("EXISTS", memo), 0))
    assumed.reads += [(("GET", keyspace.own(name)), standing.pk_text.encode()) for name in standing.held]
    assumed.absent += [keyspace.own(name) for name in standing.claims if name not in standing.held]
    return True
