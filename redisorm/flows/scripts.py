"""One script that verifies everything a commit relies on, and then writes everything. All keys are declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from redisorm.commands import Argument, Command, Flow, Reply, Supports
from redisorm.errors import ConflictError, UnsupportedServerError

from .assuming import Assumption
from .calling import LuaScript, lua
from .pieces import CHUNK
from .tables import Held, Table

__all__ = ["MOST_ARGUMENTS", "CommitScript", "keys_of", "require_scripts"]

MOST_ARGUMENTS = 1_000_000
"""Words of one command a server takes (`proto-max-multibulk-len` is 1,048,576)."""

MOST_UNPACKED = 7_000
"""Words of one command in a script: `unpack` fails at about 8,000."""

_OF_MANY_KEYS = frozenset(("EXISTS", "UNLINK"))

_NOT_HELD = Held((), 0, [])

_COMMIT = LuaScript(lua("refusing"), lua("taking"), lua("commit"))


def require_scripts(objects: int, watched: int, limit: int) -> Flow[None]:
    """Refuse a commit that is too large for WATCH on a server that runs no scripts, before anything is sent."""
    if not (yield Supports("EVALSHA")):
        raise UnsupportedServerError(
            f"a commit of {objects} objects that guards {watched} keys needs a script, since WATCH of more than {limit} keys blocks the "
            f"server, and this user may not run EVALSHA: commit(batch={max(1, limit * objects // watched)}) splits it, or allow "
            "+eval +evalsha; nothing was written",
            command="EVALSHA",
        )


@dataclass(slots=True)
class CommitScript:
    """One call of the script: what must hold, and what to write.

    Attributes:
        words: Count of keys, keys and arguments.
        longest: How many words the longest command has that the script runs.
        places: Where each reply of the script belongs among those of the writes.
        count: How many writes there are.
    """

    words: list[Any]
    longest: int
    places: list[int]
    count: int

    @classmethod
    def of(cls, keys: Sequence[str], assumed: Assumption, writes: Sequence[Command], tables: Sequence[Table] = ()) -> CommitScript:
        """Spell a call.

        Args:
            keys: What is read or written beside the keys that the reads and the writes name.
            tables: Rows beside those that the writes make. No row of theirs is taken to be absent and held at once.
        """
        made, rest = _tables(writes, frozenset(assumed.absent))
        known = [table for table in tables if table.is_known]
        tables = [*(table for table in tables if not table.is_known), *made, *known]
        every = dict.fromkeys(chain(*(table.keys for table in tables if not table.is_known), assumed.absent))
        missing = first_known = len(every)
        every.update(dict.fromkeys(chain.from_iterable(table.keys for table in known)))
        commands = (*(command for command, _ in assumed.reads), *(command for _, command in rest))
        named = chain.from_iterable(map(keys_of, commands))
        derived = (key for table in tables for one in table.derived for key in one.keys)
        every.update(dict.fromkeys(chain(keys, named, derived)))
        words: list[Any] = [len(every), *every, missing, len(assumed.types)]
        for key, kind in assumed.types.items():
            words += (key, kind)
        _spell_reads(assumed.reads, words)
        words.append(len(tables))
        first = 1
        for table in tables:
            if table.is_known:
                first, first_known = first_known + 1, first_known + len(table.keys)
            held = table.held or _NOT_HELD
            words += (len(table.fields), *table.fields, first, len(table.keys), "" if table.deadline_ms is None else table.deadline_ms)
            words += (len(held.fields), *held.fields, held.present)
            words += held.texts
            words += (table.member, len(table.derived))
            for how, place, under in table.derived:
                words += (how, place, len(under), *under)
            words += table.values
            first += len(table.keys)
        words.append(len(rest))
        for _, command in rest:
            words.append(str(len(command)))
            words += command
        longest = max((len(command) for _, command in rest), default=0)
        return cls(words, longest, [place for place, _ in rest], len(writes))

    @property
    def fits(self) -> bool:
        """Whether the call has few enough words for one command, and each command of it for a script."""
        return len(self.words) <= MOST_ARGUMENTS and self.longest <= MOST_UNPACKED

    def require_fit(self) -> None:
        """Refuse a call that has too many.

        Raises:
            ConflictError: It has. Nothing was sent.
        """
        if not self.fits:
            raise ConflictError(
                f"the commit has {len(self.words)} words, {self.longest} of them in one command, and one transaction by script takes "
                f"{MOST_ARGUMENTS} and {MOST_UNPACKED}: "
                "commit(batch=1000) splits it; nothing was written"
            )

    def run(self, meanwhile: Callable[[], None] | None = None) -> Flow[list[Reply] | None]:
        """Verify and write; the replies of the writes, or `None` where something was otherwise and nothing was written."""
        answers = yield from _COMMIT.call(self.words, meanwhile, framed=True)
        answer = None if answers is None else answers[0]
        if answer is None:
            return None
        replies: list[Reply] = [None] * self.count
        for place, reply in zip(self.places, answer, strict=True):
            replies[place] = reply
        return replies


def _tables(writes: Sequence[Command], absent: frozenset[str]) -> tuple[list[Table], list[tuple[int, Command]]]:
    """Part the commands that make new rows from the others, which keep their places: field names are then sent once."""
    tables: dict[tuple[Argument, ...], Table] = {}
    rest: list[tuple[int, Command]] = []
    for place, command in enumerate(writes):
        if command[0] == "HSET" and command[1] in absent and len(command) < CHUNK:
            fields = tuple(command[2::2])
            table = tables.get(fields)
            if table is None:
                table = tables[fields] = Table(fields, [], [])
            table.keys.append(str(command[1]))
            table.values += command[3::2]
        else:
            rest.append((place, command))
    return list(tables.values()), rest


def _spell_reads(reads: Sequence[tuple[Command, Reply]], words: list[Any]) -> None:
    """Spell what must be read: rows by their fields, which is most, and then the others."""
    rows = [read for read in reads if read[0][0] == "HMGET"]
    words.append(len(rows))
    for command, texts in rows:
        words.append(str(len(texts)))
        words += command
        words += [b"-" if text is None else b"=" + text for text in texts]
    others = [read for read in reads if read[0][0] != "HMGET"]
    words.append(len(others))
    for command, reply in others:
        if command[0] == "XPENDING":  # how long an entry has been idle is another number every time
            reply = [entry[:2] for entry in reply]  # noqa: PLW2901
        words += (str(len(command)), *command, _spelled(reply))


def keys_of(command: Command) -> list[str]:
    """The keys a command names: of all those of a commit only EXISTS and UNLINK take more than one, and only PUBLISH none.

    A sharded channel has a slot as a key has. It is named, so that a cluster refuses a script with another slot before it has
    written anything.
    """
    if command[0] in _OF_MANY_KEYS:
        return list(map(str, command[1:]))
    return [] if command[0] == "PUBLISH" else [str(command[1])]


def _spelled(reply: Reply) -> bytes:
    """A reply as the script spells it, so that both can be compared as text."""
    if reply is None:
        return b"_"
    if isinstance(reply, int):
        return b":%d" % reply
    if isinstance(reply, (list, tuple)):
        return b"*%d" % len(reply) + b"".join(map(_spelled, reply))
    return b"$%d:" % len(reply) + bytes(reply)
