"""redisorm, as in `bench/run.py`."""

from __future__ import annotations

from bench.mapped import Mapped, Member

__all__ = ["Side"]


class Side(Mapped):
    def prepare_bulk_save(self) -> list[Member]:  # type: ignore[override]
        self.database.client.flushdb()
        return self.prepare_indexed_bulk_save()

    def bulk_get(self) -> list[Member | None]:  # type: ignore[override]
        return [one for start in range(0, self.size.rows, 1000) for one in Member.get_many(range(start, min(start + 1000, self.size.rows)))]

    def prepare_single_save(self) -> list[Member]:  # type: ignore[override]
        self.database.client.flushdb()
        return self.prepare_indexed_single_save()

    def single_get(self) -> list[Member | None]:  # type: ignore[override]
        return [Member.get(number) for number in range(self.size.singles)]

    prepare_partial_update = Mapped.prepare_indexed_update  # type: ignore[assignment]
