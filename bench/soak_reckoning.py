"""The end of a soak: from the journals and from what lies in the server, find everything that was lost, doubled or torn.

It reads with redis-py and spells keys by itself, so that what it finds never comes from the code under test.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from bench.soak_work import ACCOUNTS, FUNDS, METERS

__all__ = ["Reckoning"]

Row = dict[str, str]


class Reckoning:
    """What should be, by the journals, and what is.

    Attributes:
        ends: How often deeds came to which end; `killed` are those whose process died.
        kinds: How many deeds there were of each kind.
        settled: Of the deeds whose end was not known, how many had been written and how many not.
    """

    def __init__(self, lines: Iterable[dict[str, Any]], store: Any) -> None:
        self._store = store
        self._begun: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, str] = {}
        self._told: list[str] = []
        for line in lines:
            if "violation" in line:
                self._told.append(f"{line['deed']}: {line['violation']}")
            elif "end" in line:
                self._ended[line["deed"]] = line["end"]
            else:
                self._begun[line["deed"]] = line
        self.ends = Counter(self._ended.get(deed, "killed") for deed in self._begun)
        self.kinds = Counter(line["kind"] for line in self._begun.values())
        self.settled: Counter[str] = Counter()

    def violations(self) -> Iterator[str]:
        """Everything that should not be."""
        yield from self._told
        receipts = self._rows("receipt")
        yield from self._receipts(receipts)
        yield from self._events(receipts)
        yield from self._accounts(receipts)
        yield from self._meters(receipts)
        yield from self._members(receipts)
        yield from self._tokens()

    def _rows(self, prefix: str) -> dict[str, Row]:
        keys = [key for key in self._store.scan_iter(f"{prefix}:*", count=1000) if key.count(":") == 1]
        pipeline = self._store.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        return {key.partition(":")[2]: row for key, row in zip(keys, pipeline.execute(), strict=True)}

    def _receipts(self, receipts: dict[str, Row]) -> Iterator[str]:
        """A deed that ended well is written, one that was refused is not, and nothing is written that nobody did."""
        for deed, line in self._begun.items():
            if line["kind"] in ("look", "token") or (line["kind"] == "leave" and line["member"] is None):
                continue
            end = self._ended.get(deed, "killed")
            if end == "ok" and deed not in receipts:
                yield f"lost: {line} ended well and is not there"
            if end == "refused" and deed in receipts:
                yield f"half or unknown: {line} was refused and is there"
            if end in ("unknown", "killed"):
                self.settled[f"{end}, {'written' if deed in receipts else 'not written'}"] += 1
        for deed, row in receipts.items():
            if deed not in self._begun:
                yield f"invented: a receipt {row} of a deed that nobody began"

    def _events(self, receipts: dict[str, Row]) -> Iterator[str]:
        events = Counter(fields["deed"] for _, fields in self._store.xrange("done"))
        for deed, count in events.items():
            if count > 1:
                yield f"doubled: {count} events of {deed}"
        if events.keys() != receipts.keys():
            yield f"torn: events and receipts differ in {sorted(events.keys() ^ receipts.keys())[:5]}"

    def _accounts(self, receipts: dict[str, Row]) -> Iterator[str]:
        balances = dict.fromkeys(range(ACCOUNTS), FUNDS)
        moves = dict.fromkeys(range(ACCOUNTS), 0)
        for row in receipts.values():
            if row["deed"] == "transfer":
                balances[int(row["giver"])] -= int(row["amount"])
                balances[int(row["taker"])] += int(row["amount"])
                moves[int(row["giver"])] += 1
        for pk, row in self._rows("account").items():
            found = (int(row["balance"]), int(row["moves"]))
            if found != (balances[int(pk)], moves[int(pk)]):
                yield f"account {pk} has balance and moves {found}, its receipts say {balances[int(pk)], moves[int(pk)]}"
            if self._store.zscore("account::balance", pk) != found[0]:
                yield f"account {pk}: its entry in the index says {self._store.zscore('account::balance', pk)}, the row {found[0]}"

    def _meters(self, receipts: dict[str, Row]) -> Iterator[str]:
        amounts: dict[int, Counter[str]] = defaultdict(Counter)
        for deed, row in receipts.items():
            if row["deed"] == "meter":
                amounts[int(row["taker"])][deed] = int(row["amount"])
        for pk in range(METERS):
            wanted = amounts[pk]
            hits = int(self._store.hget(f"meter:{pk}", "hits"))
            if hits != wanted.total():
                yield f"meter {pk} counts {hits}, its receipts {wanted.total()}"
            log, due = Counter(self._store.lrange(f"meter:{pk}:log", 0, -1)), Counter(wanted.keys())
            if log != due:
                yield f"meter {pk}: its log differs from its receipts in {sorted((log - due) | (due - log))[:5]}"
            marks = {member: int(score) for member, score in self._store.zrange(f"meter:{pk}:marks", 0, -1, withscores=True)}
            if marks != dict(wanted):
                yield f"meter {pk}: its marks differ from its receipts in {sorted(marks.keys() ^ wanted.keys())[:5]}"

    def _members(self, receipts: dict[str, Row]) -> Iterator[str]:
        left = {line["member"] for deed, line in self._begun.items() if line["kind"] == "leave" and deed in receipts}
        wanted = {deed for deed, row in receipts.items() if row["deed"] == "register"} - left
        members = self._rows("member")
        if members.keys() != wanted:
            yield f"members differ from their receipts in {sorted(members.keys() ^ wanted)[:5]}"
        owners = Counter(row["email"] for row in members.values())
        for email, count in owners.items():
            if count > 1:
                yield f"{count} members have {email}"
        for pk, row in members.items():
            owner = self._store.get(f"member::unique:email:{row['email']}")
            if owner != pk:
                yield f"the unique value {row['email']} of member {pk} is held by {owner}"

    def _tokens(self) -> Iterator[str]:
        for pk, row in self._rows("token").items():
            tags = self._store.smembers(f"token:{pk}:tags")
            if row.get("mark") != row.get("again") or row.get("mark") is None:
                yield f"a token is torn: {row} {tags}"
