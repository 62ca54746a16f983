"""redisorm's async face, as in `bench/run.py`."""

from __future__ import annotations

from bench.mapped_awaited import AsyncMapped, AsyncMember

__all__ = ["Side"]


class Side(AsyncMapped):
    async def prepare_bulk_save(self) -> list[AsyncMember]:  # type: ignore[override]
        await self.database.async_client.flushdb()
        return self.prepare_indexed_bulk_save()

    async def bulk_get(self) -> list[AsyncMember | None]:  # type: ignore[override]
        found: list[AsyncMember | None] = []
        for start in range(0, self.size.rows, 1000):
            found += await AsyncMember.get_many(range(start, min(start + 1000, self.size.rows)))
        return found

    async def prepare_single_save(self) -> list[AsyncMember]:  # type: ignore[override]
        await self.database.async_client.flushdb()
        return self.prepare_indexed_single_save()

    async def single_get(self) -> list[AsyncMember | None]:  # type: ignore[override]
        return [await AsyncMember.get(number) for number in range(self.size.singles)]

    prepare_partial_update = AsyncMapped.prepare_indexed_update  # type: ignore[assignment]
