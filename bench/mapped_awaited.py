"""Our side in awaited code: `mapped` with `await`."""

from __future__ import annotations

from collections.abc import Sequence

from bench.mapped import MemberFields, Objects, Post
from bench.rows import UserFields
from bench.workload import user
from redisorm import AsyncRedisModel, AsyncSession, RedisModel, col

__all__ = ["AsyncMapped", "AsyncMember"]


class AsyncUser(UserFields, AsyncRedisModel, prefix="user"):
    pass


class AsyncMember(MemberFields, AsyncRedisModel, prefix="member"):
    pass


class AsyncMapped(Objects[AsyncUser, AsyncMember]):
    user, member = AsyncUser, AsyncMember

    async def bulk_save(self, users: Sequence[AsyncRedisModel | RedisModel]) -> None:
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

    indexed_bulk_save = ttl_bulk_save = ttl_indexed_bulk_save = unique_bulk_save = generated_bulk_save = bulk_save
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
