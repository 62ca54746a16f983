"""One row of which only fields are set, by a command that has the condition in it: no script runs, and nothing is watched.

`HSETEX` sets the fields of a row that is there (`XX`) or of one that is not (`NX`) on Valkey since 9.1, and on Redis since 8.0 those of
a row that has all of them already (`FXX`).
"""

from __future__ import annotations

from collections.abc import Sequence

from redisorm.commands import Argument, Batch, Command, Flow
from redisorm.errors import WrongTypeError
from redisorm.keys import LIFE

from .changes import KEEP, Change, Kind, Outcome, life_ms
from .pieces import CHUNK
from .seeing import Tally

__all__ = ["sets_alone", "write_conditionally"]

_OF_THE_ROW = "HSETEX XX"
_OF_THE_FIELDS = "HSETEX FXX"


def sets_alone(change: Change) -> bool:
    """Whether a change of a class whose rows are hashes alone sets fields and does nothing else.

    It does more where a row is known to have a life of its own, since its deadline moves.
    """
    mapper, difference = change.mapper, change.difference
    if difference is None or difference.unsets or change.life is not KEEP or change.former_life is not None:
        return False
    if change.increments or change.only_if or not 0 < len(difference.sets) < CHUNK:
        return False
    if change.kind is not Kind.UPDATE:
        counts = mapper.automatic and change.pk is not None and not change.numbered  # the counter follows a number given by hand
        return not (counts or mapper.indexed)
    return not mapper.indexed or not any(name in mapper.index_fields for name in difference.sets[::2])


def write_conditionally(change: Change, tally: Tally, *, framed: bool) -> Flow[bool | None]:
    """Set fields of a new row, or of a loaded one, in one round trip. A life of its own that nobody knew of is told by the outcome.

    Args:
        change: One that `sets_alone`.
        framed: Whether MULTI and EXEC stand round the command, which is as atomic without.

    Returns:
        `None` where no command of this server has the condition in it, `False` where the row is not as expected and nothing was written.
    """
    assert change.difference is not None
    sets = change.difference.sets
    is_new, words = change.kind is not Kind.UPDATE, ("FIELDS", str(len(sets) // 2), *sets)
    commands: list[Command] = (
        [("HSETEX", change.key, "NX", *words)] if is_new else [("HSETEX", change.key, "XX", *words), ("HMGET", change.key, LIFE)]
    )
    try:
        replies = yield Batch(commands, framed, needs=_OF_THE_ROW)
        if replies is None and not is_new and _had_texts(change, sets[::2]):
            commands[0] = ("HSETEX", change.key, "FXX", *words)
            replies = yield Batch(commands, framed, needs=_OF_THE_FIELDS)
    except WrongTypeError:  # the general way says what is there
        return False
    if replies is None:
        return None
    tally.add(len(commands) + 2 * framed)
    if not replies[0]:
        return False
    if not is_new and replies[1] != [None]:
        change.outcome = Outcome(life=life_ms(replies[1][0]))
    return True


def _had_texts(change: Change, names: Sequence[Argument]) -> bool:
    """Whether all these fields had a text when the row was loaded."""
    former = None if change.former is None else change.former([str(name) for name in names])
    return former is not None and all(former.texts.get(str(name)) is not None for name in names)
