"""The work of a soak: what one process does at random, and the journal that tells what it did even after it was killed.

A deed is noted before it begins and once more with its end: `ok`, `unknown` (a `CommitUnknownError`) or `refused` (any other
error of the library, which promises that nothing was written). One that has no end was cut off by the death of its process.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redisorm import CommitUnknownError, Database, Event, Field, RedisModel, RedisormError, Session, SortedSet, UniqueViolationError

__all__ = ["ACCOUNTS", "EMAILS", "FUNDS", "MODELS", "OVER", "Account", "Journal", "Meter", "seed"]

ACCOUNTS = 6
FUNDS = 10_000
METERS = 3
EMAILS = 12
THREADS = 2
OVER = "over"
"""The file that says that it is over."""


class Account(RedisModel, prefix="account", versioned=True):
    """What money is moved between; no transfer may be lost, doubled or torn."""

    id: int
    balance: int = Field(default=0, ge=0, index=True)
    moves: int = 0


class Meter(RedisModel, prefix="meter"):
    """What is incremented at the server, and grows at the end of a list and by members of a sorted set."""

    id: int
    hits: int = Field(default=0, index=True)
    log: list[str] = []
    marks: SortedSet[str] = SortedSet()


class Receipt(RedisModel, prefix="receipt"):
    """What a deed did, written in its own transaction."""

    id: str
    deed: str = Field(index=True)
    giver: int = Field(default=-1, index=True)
    taker: int = Field(default=-1, index=True)
    amount: int = Field(default=0, index=True)


class Member(RedisModel, prefix="member"):
    """A holder of one of few unique values."""

    id: str
    email: str = Field(unique=True)
    name: str = Field(default="", index="lex")
    tags: set[str] = Field(default=set(), index=True)


class Token(RedisModel, prefix="token", ttl=2):
    """A row that expires, is changed, replaced and deleted meanwhile; all its parts bear one mark."""

    id: int
    mark: str = Field(default="", index=True)
    again: str = ""
    tags: set[str] = set()


class Done(Event, stream="done"):
    """The event of a deed, written in its own transaction."""

    deed: str


MODELS = (Account, Meter, Receipt, Member, Token)


class Journal:
    """Lines of JSON in a file of one thread; what was written outlives the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, **line: Any) -> None:
        """Append a line in one step."""
        os.write(self._file, json.dumps(line).encode() + b"\n")

    @staticmethod
    def names(directory: Path) -> set[str]:
        """The workers that have a journal in a directory."""
        return {path.name.partition(".")[0] for path in directory.glob("*.journal")}

    @staticmethod
    def read(directory: Path) -> Iterator[dict[str, Any]]:
        """Every line of every journal in a directory."""
        for path in sorted(directory.glob("*.journal")):
            yield from map(json.loads, path.read_text().splitlines())


def seed(db: Database) -> None:
    """Store what the deeds begin with."""
    with Session.begin(db) as session:
        session.add_all(Account(id=pk, balance=FUNDS) for pk in range(ACCOUNTS))
        session.add_all(Meter(id=pk) for pk in range(METERS))


class Deeds:
    """What one thread does, again and again."""

    def __init__(self, db: Database, journal: Journal, name: str, chance: random.Random) -> None:
        self._db = db
        self._journal = journal
        self._name = name
        self._chance = chance
        self._number = 0

    def one(self) -> None:
        """Do one deed at random, and note it."""
        deed: Callable[[str], None] = self._chance.choice(
            (self._transfer, self._transfer, self._meter, self._meter, self._register, self._leave, self._token, self._look)
        )
        self._number += 1
        name = f"{self._name}-{self._number}"
        try:
            deed(name)
        except CommitUnknownError:
            self._journal.note(deed=name, end="unknown")
        except RedisormError as error:
            self._journal.note(deed=name, end="refused", error=type(error).__name__)
            if not isinstance(error, UniqueViolationError):
                time.sleep(self._chance.random() * 0.05)
        else:
            self._journal.note(deed=name, end="ok")

    def _finish(self, session: Session, name: str, **receipt: Any) -> None:
        session.add(Receipt(id=name, **receipt))
        session.emit(Done(deed=name))

    def _transfer(self, name: str) -> None:
        giver, taker = self._chance.sample(range(ACCOUNTS), 2)
        amount = self._chance.randrange(1, 200)
        self._journal.note(deed=name, kind="transfer", giver=giver, taker=taker, amount=amount)

        def move(session: Session) -> None:
            one, other = session.get_one(Account, giver), session.get_one(Account, taker)
            moved = min(amount, one.balance)
            one.balance -= moved
            other.balance += moved
            one.moves += 1
            self._finish(session, name, deed="transfer", giver=giver, taker=taker, amount=moved)

        Session.retry(move, self._db, attempts=30)

    def _meter(self, name: str) -> None:
        meter, by = self._chance.randrange(METERS), self._chance.randrange(1, 9)
        self._journal.note(deed=name, kind="meter", meter=meter, by=by)
        with Session(self._db) as session:
            one = session.get_one(Meter, meter)
            session.increment(one, "hits", by)
            one.log.append(name)
            one.marks[name] = by
            self._finish(session, name, deed="meter", taker=meter, amount=by)
            session.commit()

    def _register(self, name: str) -> None:
        email = f"{self._chance.randrange(EMAILS)}@x"
        self._journal.note(deed=name, kind="register", email=email)
        with Session(self._db) as session:
            session.add(Member(id=name, email=email, name=name, tags={"new", email}))
            self._finish(session, name, deed="register")
            session.commit()

    def _leave(self, name: str) -> None:
        email = f"{self._chance.randrange(EMAILS)}@x"
        with Session(self._db) as session:
            member = session.get_by(Member, email=email)
            self._journal.note(deed=name, kind="leave", email=email, member=None if member is None else member.id)
            if member is not None:
                session.delete(member)
                self._finish(session, name, deed="leave")
                session.commit()

    def _token(self, name: str) -> None:
        pk, way = self._chance.randrange(4), self._chance.randrange(4)
        self._journal.note(deed=name, kind="token", token=pk)
        with Session(self._db) as session:
            token = session.get(Token, pk)
            if token is None or way == 0:
                if token is not None:
                    session.expunge(token)
                session.add(Token(id=pk, mark=name, again=name, tags={name}), ttl=self._chance.choice((None, 0.5)))
            elif way == 1:
                session.delete(token)
            else:
                token.mark = token.again = name
                token.tags = {name}
            session.commit()

    def _look(self, name: str) -> None:
        """Read all accounts at one instant: no transfer may be seen half."""
        self._journal.note(deed=name, kind="look")
        with Session(self._db) as session:
            accounts = session.get_many(Account, range(ACCOUNTS))
            total = sum(account.balance for account in accounts if account is not None)
            if total != ACCOUNTS * FUNDS:
                self._journal.note(deed=name, violation=f"all accounts together held {total}")
            token = session.get(Token, self._chance.randrange(4))
            if token is not None and token.mark != token.again:
                self._journal.note(deed=name, violation=f"a token was torn: {token!r}")


def main(url: str, directory: str, name: str, number: str) -> None:
    """Work until somebody says in the directory that it is over."""
    over = Path(directory) / OVER
    retry = Retry(ExponentialWithJitterBackoff(base=0.01, cap=0.2), 3)
    with Database(url, timeout=1, pool_timeout=5, max_connections=THREADS, retry=retry) as db:

        def work(thread: int) -> None:
            whole = f"{name}.{thread}"
            journal = Journal(Path(directory) / f"{whole}.journal")
            deeds = Deeds(db, journal, whole, random.Random(f"{number}.{whole}"))
            while not over.exists():
                deeds.one()

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
