"""Our side: the same jobs through the public surface of redisorm, in blocking code; `Objects` serves both colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from bench.rows import PostFields, TicketFields, UserFields
from bench.workload import LIFE_S, Size, person, post, user
from redisorm import Field, RedisModel, Session, col, connect

__all__ = ["Mapped", "MemberFields", "Objects", "Post"]


class MemberFields(UserFields):
    """A user with an index of equality and one of order."""

    age: int = Field(index=True)
    city: str = Field(index=True)


class User(UserFields, RedisModel, prefix="user"):
    pass


class Member(MemberFields, RedisModel, prefix="member"):
    pass


class Post(PostFields, RedisModel, prefix="post"):
    pass


class Visit(UserFields, RedisModel, prefix="visit", ttl=LIFE_S):
    pass


class Tenant(MemberFields, RedisModel, prefix="tenant", ttl=LIFE_S):
    pass


class Account(UserFields, RedisModel, prefix="account"):
    email: str = Field(unique=True)


class Ticket(TicketFields, RedisModel, prefix="ticket"):
    pass


One = TypeVar("One")
U = TypeVar("U", bound=UserFields)
M = TypeVar("M", bound=MemberFields)


class Objects(Generic[U, M]):
    """The objects of the jobs that write, made before the clock starts."""

    user: type[U]
    member: type[M]

    def __init__(self, url: str, size: Size) -> None:
        self.database = connect(url)
        self.size = size
        self.changes = 0

    def change(self) -> str:
        """Another text each time."""
        self.changes += 1
        return f"changed {self.changes}"

    def batches(self, objects: Sequence[One]) -> Iterator[Sequence[One]]:
        return (objects[start : start + self.size.batch] for start in range(0, len(objects), self.size.batch))

    def prepare_bulk_save(self) -> list[U]:
        return [self.user(**user(number)) for number in range(self.size.rows)]

    def prepare_single_save(self) -> list[U]:
        return [self.user(**user(number)) for number in range(self.size.singles)]

    def prepare_companions_save(self) -> list[Post]:
        return [Post(**post(number)) for number in range(self.size.posts)]

    def prepare_indexed_bulk_save(self) -> list[M]:
        return [self.member(**user(number)) for number in range(self.size.rows)]

    def prepare_indexed_single_save(self) -> list[M]:
        return [self.member(**user(number)) for number in range(self.size.singles)]

    def prepare_ttl_bulk_save(self) -> list[Visit]:
        return [Visit(**user(number)) for number in range(self.size.rows)]

    def prepare_ttl_indexed_bulk_save(self) -> list[Tenant]:
        return [Tenant(**user(number)) for number in range(self.size.rows)]

    def prepare_unique_bulk_save(self) -> list[Account]:
        return [Account(**user(number)) for number in range(self.size.rows)]

    def prepare_generated_bulk_save(self) -> list[Ticket]:
        return [Ticket(**person(number)) for number in range(self.size.rows)]


class Mapped(Objects[User, Member]):
    user, member = User, Member

    def bulk_save(self, users: Sequence[RedisModel]) -> None:
        for start in range(0, len(users), self.size.batch):
            with Session(self.database) as session:
                session.add_all(users[start : start + self.size.batch])
                session.commit()

    def bulk_get(self) -> list[User | None]:
        found: list[User | None] = []
        for start in range(0, self.size.rows, self.size.batch):
            found += User.get_many(range(start, start + self.size.batch))
        return found

    def single_get(self) -> list[User | None]:
        return [User.get(number) for number in range(self.size.singles)]

    def prepare_partial_update(self) -> list[User | None]:
        return User.get_many(range(self.size.singles))

    def partial_update(self, users: list[User]) -> str:
        name = self.change()
        for one in users:
            one.name = name
            one.save()
        return users[1].name

    def single_save(self, users: Sequence[RedisModel]) -> None:
        for one in users:
            one.save()

    def companions_save(self, posts: list[Post]) -> None:
        with Session(self.database) as session:
            session.add_all(posts)
            session.commit()

    def companions_get(self) -> list[Post | None]:
        return Post.get_many(range(self.size.posts))

    def prepare_indexed_update(self) -> list[Member | None]:
        return Member.get_many(range(self.size.singles))

    indexed_bulk_save = ttl_bulk_save = ttl_indexed_bulk_save = unique_bulk_save = generated_bulk_save = bulk_save
    indexed_single_save = single_save

    def indexed_update(self, users: list[Member]) -> int:
        for one in users:
            one.age += 1
            one.save()
        return users[1].age

    def prepare_bulk_update(self) -> list[User | None]:
        return self.bulk_get()

    def bulk_update(self, users: list[User]) -> str:
        name = self.change()
        for some in self.batches(users):
            with Session(self.database) as session:
                session.add_all(some)
                for one in some:
                    one.name = name
                session.commit()
        return name

    def load_and_update(self) -> str:
        name = self.change()
        for numbers in self.batches(range(self.size.rows)):
            with Session(self.database) as session:
                for one in session.get_many(User, numbers):
                    assert one is not None
                    one.name = name
                session.commit()
        return name

    def prepare_companions_update(self) -> list[Post | None]:
        return self.companions_get()

    def companions_update(self, posts: list[Post]) -> str:
        tag = self.change()
        with Session(self.database) as session:
            session.add_all(posts)
            for one in posts:
                one.tags.add(tag)
            session.commit()
        return tag

    def prepare_indexed_bulk_update(self) -> list[Member | None]:
        return Member.get_many(range(self.size.rows))

    def indexed_bulk_update(self, users: list[Member]) -> int:
        for some in self.batches(users):
            with Session(self.database) as session:
                session.add_all(some)
                for one in some:
                    one.age += 1
                session.commit()
        return users[1].age

    def bulk_delete(self, users: Sequence[RedisModel]) -> None:
        for some in self.batches(users):
            with Session(self.database) as session:
                for one in some:
                    session.delete(one)
                session.commit()

    prepare_bulk_delete = prepare_bulk_update
    prepare_indexed_bulk_delete = prepare_indexed_bulk_update
    indexed_bulk_delete = bulk_delete

    def query_equal(self) -> list[Member]:
        return Member.find(Member.city == "Oslo").all()

    def query_range(self) -> list[Member]:
        return Member.find(col(Member.age).between(30, 34)).all()

    def count(self) -> list[int]:
        return [Member.find(Member.city == "Oslo").count() for _ in range(self.size.singles)]

    def fill(self) -> None:
        """Store the rows of the iteration."""
        for start in range(0, self.size.walked, self.size.batch):
            self.indexed_bulk_save([Member(**user(number)) for number in range(start, start + self.size.batch)])

    def iteration(self) -> tuple[int, int]:
        rows, ages = 0, 0
        for one in Member.find():
            rows, ages = rows + 1, ages + one.age
        return rows, ages

    def close(self) -> None:
        self.database.close()
