"""What the indexes of a class have to be, reckoned from its rows alone, and compared with what lies in the store.

It reads with redis-py and spells keys by itself, so that what it finds never comes from the code under test. It knows the
stored form as `docs/architecture.md` tells it: plain names only, nothing that would be escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

__all__ = ["Reckoning", "misfits", "place_score"]

Reckoning = Callable[[str, dict[str, str], Callable[[str], Any]], tuple[dict[str, tuple[str, float | None]], list[str]]]
"""From primary key, hash and a reader of companions to the entries (key after `prefix::` → member, score or `None` for the
deadline) and the unique values of a row."""


def misfits(client: Any, prefix: str, reckon: Reckoning) -> list[str]:
    """Tell everything in the store of a class that should not be so; an empty list is good."""
    keys = {key.decode(): kind for key, kind in _types(client).items() if key.decode().startswith(f"{prefix}:")}
    rows = {key[len(prefix) + 1 :]: key for key, kind in keys.items() if kind == b"hash" and "::" not in key}
    wanted: dict[str, dict[str, float | None]] = {f"{prefix}::all": {}}
    strings: dict[str, str] = {}
    memos: dict[str, dict[str, str]] = {}
    for pk, key in rows.items():
        texts = {name.decode(): text.decode() for name, text in client.hgetall(key).items()}
        deadline = client.execute_command("PEXPIRETIME", key)
        score = float("inf") if deadline < 0 else float(deadline)
        entries, claims = reckon(pk, texts, partial(_companion, client, key))
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
            found = client.execute_command("PEXPIRETIME", f"{key}:{name}")
            if found not in (-2, deadline):
                wanted.setdefault("deadlines of companions", {})[f"{key}:{name}"] = deadline
    wanted = {key: members for key, members in wanted.items() if members}
    found = {key: _scores(client, key) for key, kind in keys.items() if kind == b"zset" and "::" in key}
    told = [
        f"{key}: {_difference(wanted.get(key, {}), found.get(key, {}))}"
        for key in sorted({*wanted, *found})
        if not _same(wanted.get(key), found.get(key))
    ]
    told += _compare("unique", strings, {key: (client.get(key) or b"").decode() for key in keys if "::unique:" in key})
    found_memos = {key: {a.decode(): b.decode() for a, b in client.hgetall(key).items()} for key in keys if key.endswith("::memo")}
    return told + _compare("memo", memos, found_memos)


def _types(client: Any) -> dict[bytes, bytes]:
    return {key: client.type(key) for key in client.scan_iter(count=1000)}


def _companion(client: Any, row: str, name: str) -> list[str]:
    key = f"{row}:{name}"
    kind = client.type(key)
    if kind == b"list":
        return [text.decode() for text in client.lrange(key, 0, -1)]
    if kind == b"zset":
        return [text.decode() for text in client.zrange(key, 0, -1)]
    return [text.decode() for text in client.smembers(key)] if kind == b"set" else []


def place_score(lon: float, lat: float) -> float:
    """What stands for a position under `prefix::place`: to a hundred metres, since each server keeps positions in its own way."""
    return round(lon, 3) * 1_000_000 + round(lat, 3)


def _scores(client: Any, key: str) -> dict[str, float]:
    if key.endswith("::place"):
        members = client.zrange(key, 0, -1)
        return {member.decode(): place_score(*place) for member, place in zip(members, client.geopos(key, *members), strict=True)}
    pairs: Any = client.zrange(key, 0, -1, withscores=True)
    return {member.decode(): float(score) for member, score in pairs}


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
