"""Our side: the same jobs through the public surface of redisorm, in both colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from bench.rows import PostFields, UserFields
from bench.workload import Size, post, user
from redisorm import AsyncRedisModel, AsyncSession, Field, RedisModel, Session, col, connect

__all__ = ["AsyncMapped", "Mapped"]


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


class AsyncUser(UserFields, AsyncRedisModel, prefix="user"):
    pass


class AsyncMember(MemberFields, AsyncRedisModel, prefix="member"):
    pass


One = TypeVar("One")
U = TypeVar("U", bound=UserFields)
M = TypeVar("M", bound=MemberFields)


class _Objects(Generic[U, M]):
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


class Mapped(_Objects[User, Member]):
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

    indexed_bulk_save = bulk_save
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


class AsyncMapped(_Objects[AsyncUser, AsyncMember]):
    user, member = AsyncUser, AsyncMember

    async def bulk_save(self, users: Sequence[AsyncRedisModel]) -> None:
        for start in range(0, len(users), self.size.batch):
            async with AsyncSession(self.database) as session:
                session.add_all(users[start : start + self.size.batch])
                await session.commit()

    async def bulk_get(self) -> list[AsyncUser | None]:
        found: list[AsyncUser | None] = []
        for start in range(0, self.size.rows, self.size.batch):
            found += await AsyncUser.get_many(range(start, start + self.size.batch))
        return found

    async def single_get(self) -> list[AsyncUser | None]:
        return [await AsyncUser.get(number) for number in range(self.size.singles)]

    async def prepare_partial_update(self) -> list[AsyncUser | None]:
        return await AsyncUser.get_many(range(self.size.singles))

    async def partial_update(self, users: list[AsyncUser]) -> str:
        name = self.change()
        for one in users:
            one.name = name
            await one.save()
        return users[1].name

    async def single_save(self, users: Sequence[AsyncRedisModel]) -> None:
        for one in users:
            await one.save()

    async def companions_save(self, posts: list[Post]) -> None:
        async with AsyncSession(self.database) as session:
            session.add_all(posts)
            await session.commit()

    async def companions_get(self) -> list[Post | None]:
        async with AsyncSession(self.database) as session:
            return await session.get_many(Post, range(self.size.posts))

    async def prepare_indexed_update(self) -> list[AsyncMember | None]:
        return await AsyncMember.get_many(range(self.size.singles))

    indexed_bulk_save = bulk_save
    indexed_single_save = single_save

    async def indexed_update(self, users: list[AsyncMember]) -> int:
        for one in users:
            one.age += 1
            await one.save()
        return users[1].age

    async def prepare_bulk_update(self) -> list[AsyncUser | None]:
        return await self.bulk_get()

    async def bulk_update(self, users: list[AsyncUser]) -> str:
        name = self.change()
        for some in self.batches(users):
            async with AsyncSession(self.database) as session:
                session.add_all(some)
                for one in some:
                    one.name = name
                await session.commit()
        return name

    async def load_and_update(self) -> str:
        name = self.change()
        for numbers in self.batches(range(self.size.rows)):
            async with AsyncSession(self.database) as session:
                for one in await session.get_many(AsyncUser, numbers):
                    assert one is not None
                    one.name = name
                await session.commit()
        return name

    async def prepare_companions_update(self) -> list[Post | None]:
        return await self.companions_get()

    async def companions_update(self, posts: list[Post]) -> str:
        tag = self.change()
        async with AsyncSession(self.database) as session:
            session.add_all(posts)
            for one in posts:
                one.tags.add(tag)
            await session.commit()
        return tag

    async def prepare_indexed_bulk_update(self) -> list[AsyncMember | None]:
        return await AsyncMember.get_many(range(self.size.rows))

    async def indexed_bulk_update(self, users: list[AsyncMember]) -> int:
        for some in self.batches(users):
            async with AsyncSession(self.database) as session:
                session.add_all(some)
                for one in some:
                    one.age += 1
                await session.commit()
        return users[1].age

    async def bulk_delete(self, users: Sequence[AsyncRedisModel]) -> None:
        for some in self.batches(users):
            async with AsyncSession(self.database) as session:
                for one in some:
                    session.delete(one)
                await session.commit()

    prepare_bulk_delete = prepare_bulk_update
    prepare_indexed_bulk_delete = prepare_indexed_bulk_update
    indexed_bulk_delete = bulk_delete

    async def query_equal(self) -> list[AsyncMember]:
        return await AsyncMember.find(AsyncMember.city == "Oslo").all()

    async def query_range(self) -> list[AsyncMember]:
        return await AsyncMember.find(col(AsyncMember.age).between(30, 34)).all()

    async def count(self) -> list[int]:
        return [await AsyncMember.find(AsyncMember.city == "Oslo").count() for _ in range(self.size.singles)]

    async def fill(self) -> None:
        """Store the rows of the iteration."""
        for start in range(0, self.size.walked, self.size.batch):
            await self.indexed_bulk_save([AsyncMember(**user(number)) for number in range(start, start + self.size.batch)])

    async def iteration(self) -> tuple[int, int]:
        rows, ages = 0, 0
        async for one in AsyncMember.find():
            rows, ages = rows + 1, ages + one.age
        return rows, ages

    async def close(self) -> None:
        await self.database.aclose()
