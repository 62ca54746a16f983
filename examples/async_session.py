"""The same names, awaited. A model of either kind works in a session of either kind."""

import asyncio

from redisorm import AsyncRedisModel, AsyncSession, Database, connect


class User(AsyncRedisModel, prefix="user"):
    id: int
    name: str
    tags: set[str] = set()


async def main(db: Database) -> None:
    async with AsyncSession(db) as session:
        session.add(User(id=1, name="Ann", tags={"staff"}))
        print(await session.commit())
    user = await User.get_one(1)
    user.tags.add("admin")
    await user.save()
    again = await User.get_one(1)
    print(again)
    assert again.tags == {"staff", "admin"}


with connect("memory://") as database:
    asyncio.run(main(database))
