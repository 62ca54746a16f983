"""What one of several processes does to the same rows.

Each job commits COUNT times as fast as it can, and tells what it saw that should not be.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from redisorm import AlreadyExistsError, ConflictError, Database, Field, RedisModel, Session, StaleObjectError, UniqueViolationError
from tests.faults.processes import hear, tell
from tests.faults.scene import Item

__all__ = ["JOBS", "Account", "Ghost", "Hits", "Phantom", "is_torn", "work"]

ACCOUNTS = 4
PER_ACCOUNT = 1_000
EMAILS = 5


class Hits(RedisModel, prefix="hits"):
    """A plain number and an indexed one."""

    id: int
    plain: int = 0
    indexed: int = Field(default=0, index=True)


class Account(RedisModel, prefix="account", versioned=True):
    """What money is moved between."""

    id: int
    balance: int = Field(default=0, ge=0)
    log: list[str] = []


class Ghost(RedisModel, prefix="ghost"):
    """A row that comes and goes; each of its parts has the same mark."""

    id: int
    mark: str = Field(index=True)
    again: str
    tags: set[str] = set()
    jobs: list[str] = []


def increment(db: Database, chance: random.Random, count: int) -> Counter[str]:
    with Session(db) as session:
        hits = session.get_one(Hits, 1)
    for _ in range(count):
        with Session(db) as session:
            session.add(hits)
            session.increment(hits, "plain", 1)
            session.increment(hits, "indexed", 2)
            session.commit()
            session.expunge(hits)
    return Counter(increments=count)


def deposit(db: Database, chance: random.Random, count: int) -> Counter[str]:
    def once(session: Session) -> None:
        account = session.get_one(Account, 0)
        account.balance += 1
        account.log.append(str(account.balance))

    for _ in range(count):
        Session.retry(once, db, attempts=200)
    return Counter(deposits=count)


def transfer(db: Database, chance: random.Random, count: int) -> Counter[str]:
    def once(session: Session) -> None:
        giver, taker = (session.get_one(Account, pk) for pk in chance.sample(range(ACCOUNTS), 2))
        amount = min(giver.balance, chance.randrange(1, 50))
        giver.balance -= amount
        taker.balance += amount

    for _ in range(count):
        Session.retry(once, db, attempts=200)
    return Counter(transfers=count)


def watch_sum(db: Database, chance: random.Random, count: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(count):
        with Session(db) as session:
            balances = [account.balance if account else 0 for account in session.get_many(Account, range(ACCOUNTS))]
        seen["reads"] += 1
        seen["torn"] += sum(balances) != ACCOUNTS * PER_ACCOUNT
    return seen


class Phantom(Ghost, prefix="phantom", versioned=True):
    """The same with a version, so that writers do not mix in its companions either."""


def is_torn(ghost: Ghost) -> bool:
    """Whether parts of it come from different writes. Writers of an unversioned row may both add to a companion."""
    companions = {*ghost.tags, *ghost.jobs} if isinstance(ghost, Phantom) else {ghost.mark}
    return {ghost.mark, ghost.again, *companions} != {ghost.mark}


def haunt(db: Database, chance: random.Random, count: int) -> Counter[str]:
    """Create, change, replace, delete and let expire one of three rows, each time with one mark in all its parts."""
    return _haunt(Ghost, db, chance, count)


def haunt_versioned(db: Database, chance: random.Random, count: int) -> Counter[str]:
    """The same with versioned rows."""
    return _haunt(Phantom, db, chance, count)


def _haunt(model: type[Ghost], db: Database, chance: random.Random, count: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(count):
        pk, mark, deed = chance.randrange(3), f"{chance.random():.12f}", chance.randrange(5)
        try:
            with Session(db) as session:
                ghost = session.get(model, pk)
                seen["torn"] += ghost is not None and is_torn(ghost)
                if ghost is None or deed == 0:
                    with Session(db) as other:
                        other.add(model(id=pk, mark=mark, again=mark, tags={mark}, jobs=[mark]), ttl=chance.choice((None, 0.005)))
                        other.commit()
                elif deed == 1:
                    session.delete(ghost)
                elif deed == 2:
                    session.expire(ghost, 0.003)
                else:
                    ghost.mark = ghost.again = mark
                    ghost.tags, ghost.jobs = {mark}, [mark]
                session.commit()
            seen["done"] += 1
        except StaleObjectError:
            seen["stale"] += 1
    return seen


def claim(db: Database, chance: random.Random, count: int) -> Counter[str]:
    """Storm a few unique values: take one with a new row, and give it up again."""
    seen: Counter[str] = Counter()
    mine = 1_000_000 * chance.randrange(1, 2**31)
    for number in range(count):
        email = f"{chance.randrange(EMAILS)}@x"
        try:
            with Session(db) as session:
                session.add(item := Item(id=mine + number, name="a", email=email))
                session.commit()
            seen["won"] += 1
        except UniqueViolationError:
            seen["refused"] += 1
            continue
        with Session(db) as session:
            rivals = [one for one in session.get_many(Item, [item.id]) if one is None or one.email != email]
            seen["torn"] += bool(rivals)
            session.delete(session.get_one(Item, item.id))
            session.commit()
    return seen


def create(db: Database, chance: random.Random, count: int) -> Counter[str]:
    """Create rows that others create too: each is created once."""
    seen: Counter[str] = Counter()
    for number in range(count):
        with Session(db) as session:
            session._add_new(Hits(id=number))
            try:
                session.commit()
                seen["created"] += 1
            except AlreadyExistsError:
                session.rollback()
                seen["refused"] += 1
            except ConflictError as error:
                seen[type(error).__name__] += 1
    return seen


JOBS: dict[str, Callable[[Database, random.Random, int], Counter[str]]] = {
    job.__name__: job for job in (increment, deposit, transfer, watch_sum, haunt, haunt_versioned, claim, create)
}


def work(job: str, url: str, seed: int, count: int) -> Counter[str]:
    """Do a job when the test says so; return what came of it."""
    with Database(url) as db:
        tell("ready")
        hear()
        return JOBS[job](db, random.Random(seed), count)
