"""What the indexes of a class have to be, reckoned from its rows alone, and compared with what lies in the store.

It reads with redis-py and spells keys by itself, so that what it finds never comes from the code under test. It knows the
stored form as `docs/architecture.md` tells it: plain names only, nothing that would be escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

__all__ = ["Held", "Reckoning", "content", "everything", "misfits", "place_score", "without_versions"]

Reckoning = Callable[[str, dict[str, str], Callable[[str], Any]], tuple[dict[str, tuple[str, float | None]], list[str]]]
"""From primary key, hash and a reader of companions to the entries (key after `prefix::` → member, score or `None` for the
deadline) and the unique values of a row."""


class Held(NamedTuple):
    """What lies at a key.

    Attributes:
        kind: Its type, as TYPE tells it.
        deadline_ms: As PEXPIRETIME tells it; -1 without one.
        content: A text, a dict, a list, a set, or a list of pairs of member and score.
    """

    kind: bytes
    deadline_ms: int
    content: Any


_LATER = 1e12
"""A score above this is a deadline, which is another one for each database."""

_PLACES = b"::place"
_READS: dict[bytes, Callable[[Any, bytes], object]] = {
    b"hash": lambda pipe, key: pipe.hgetall(key),
    b"string": lambda pipe, key: pipe.get(key),
    b"set": lambda pipe, key: pipe.smembers(key),
    b"list": lambda pipe, key: pipe.lrange(key, 0, -1),
}


def everything(client: Any, *, places: bool = True) -> dict[bytes, Held]:
    """Read a whole store, in the order of its keys.

    Args:
        places: Whether to read the scores of positions, which are no numbers in fakeredis; otherwise they are `None`.
    """
    keys = sorted({*client.scan_iter(count=1000)})
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
            pipe.execute_command("PEXPIRETIME", key)
        told = pipe.execute()
        kinds = {key: (kind, deadline) for key, kind, deadline in zip(keys, told[::2], told[1::2], strict=True) if kind != b"none"}
        for key, (kind, _) in kinds.items():
            if kind == b"zset":
                pipe.zrange(key, 0, -1, withscores=places or not key.endswith(_PLACES))
            else:
                _READS[kind](pipe, key)
        contents = pipe.execute()
    return {
        key: Held(kind, deadline, _pairs(content) if kind == b"zset" else content)
        for (key, (kind, deadline)), content in zip(kinds.items(), contents, strict=True)
    }


def _pairs(content: Any) -> list[tuple[bytes, float | None]]:
    return [(one, None) if isinstance(one, bytes) else (one[0], one[1]) for one in content]


def misfits(client: Any, prefix: str, reckon: Reckoning) -> list[str]:
    """Tell everything in the store of a class that should not be so; an empty list is good."""
    keys = {key.decode(): held for key, held in everything(client, places=False).items() if key.decode().startswith(f"{prefix}:")}
    rows = {key[len(prefix) + 1 :]: key for key, held in keys.items() if held.kind == b"hash" and "::" not in key}
    wanted: dict[str, dict[str, float | None]] = {f"{prefix}::all": {}}
    strings: dict[str, str] = {}
    memos: dict[str, dict[str, str]] = {}
    for pk, key in rows.items():
        deadline = keys[key].deadline_ms
        score = float("inf") if deadline < 0 else float(deadline)
        entries, claims = reckon(pk, _texts(keys[key]), partial(_companion, keys, key))
        wanted[f"{prefix}::all"][pk] = score
        for name, (member, place) in entries.items():
            wanted.setdefault(f"{prefix}::{name}", {})[member] = score if place is None else place
        for claim in claims:
            strings[f"{prefix}::unique:{claim}"] = pk
        if deadline >= 0:
            memos[f"{key}::memo"] = {
                **{name: "" if member == pk else member for name, (member, _) in entries.items()},
                **{f"unique:{claim}": "" for claim in claims},
            }
        for name in ("tags", "jobs"):
            companion = keys.get(f"{key}:{name}")
            if companion is not None and companion.deadline_ms != deadline:
                wanted.setdefault("deadlines of companions", {})[f"{key}:{name}"] = deadline
    wanted = {key: members for key, members in wanted.items() if members}
    found = {key: _scores(client, key, held) for key, held in keys.items() if held.kind == b"zset" and "::" in key}
    told = [
        f"{key}: {_difference(wanted.get(key, {}), found.get(key, {}))}"
        for key in sorted({*wanted, *found})
        if not _same(wanted.get(key), found.get(key))
    ]
    told += _compare("unique", strings, {key: (held.content or b"").decode() for key, held in keys.items() if "::unique:" in key})
    return told + _compare("memo", memos, {key: _texts(held) for key, held in keys.items() if key.endswith("::memo")})


def _texts(held: Held) -> dict[str, str]:
    return {name.decode(): text.decode() for name, text in held.content.items()}


def _companion(keys: Mapping[str, Held], row: str, name: str) -> list[str]:
    held = keys.get(f"{row}:{name}")
    if held is None or held.kind not in (b"list", b"set", b"zset"):
        return []
    return [member.decode() for member in ([member for member, _ in held.content] if held.kind == b"zset" else held.content)]


def place_score(lon: float, lat: float) -> float:
    """What stands for a position under `prefix::place`: to a hundred metres, since each server keeps positions in its own way."""
    return round(lon, 3) * 1_000_000 + round(lat, 3)


def _scores(client: Any, key: str, held: Held) -> dict[str, float]:
    if key.encode().endswith(_PLACES):
        members = [member for member, _ in held.content]
        return {member.decode(): place_score(*place) for member, place in zip(members, client.geopos(key, *members), strict=True)}
    return {member.decode(): float(score) for member, score in held.content}


def _same(wanted: Mapping[str, float | None] | None, found: Mapping[str, float] | None) -> bool:
    if wanted is None or found is None or wanted.keys() != found.keys():
        return False
    return all(score is not None and score == found[member] for member, score in wanted.items())


def _difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    missing = {member: score for member, score in wanted.items() if found.get(member) != score}
    dangling = {member: score for member, score in found.items() if wanted.get(member) != score}
    return f"missing {missing}, dangling {dangling}"


def _compare(kind: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{kind} {key}: {found.get(key)!r} instead of {wanted.get(key)!r}"
        for key in sorted({*wanted, *found})
        if wanted.get(key) != found.get(key)
    ]


def content(store: Any) -> dict[bytes, Any]:
    """Everything in a database. Deadlines are not the same in any two of them."""

    def told(held: Held) -> Any:
        if held.kind != b"zset":
            return held.content
        return {member: _LATER if _LATER < score < float("inf") else score for member, score in held.content}

    return {key: (held.deadline_ms >= 0, told(held)) for key, held in everything(store).items()}


def without_versions(store: dict[bytes, Any]) -> dict[bytes, Any]:
    """Everything in a database but the versions of its rows, which are random."""
    for _, held in store.values():
        if isinstance(held, dict):
            held.pop(b":version", None)
    return store
