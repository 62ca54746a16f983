"""redis-py by hand, as in `bench/run.py`."""

from __future__ import annotations

from bench.by_hand import ByHand
from bench.hand_rows import User, decode

__all__ = ["Side"]


class Side(ByHand):
    def bulk_save(self, users: list[User]) -> None:
        self.indexed_bulk_save(users)

    def prepare_bulk_save(self) -> list[User]:
        self.client.flushdb()
        return super().prepare_bulk_save()

    def prepare_single_save(self) -> list[User]:
        self.client.flushdb()
        return super().prepare_single_save()

    def bulk_get(self) -> list[User]:
        return [one for start in range(0, self.size.rows, 1000) for one in self._load(range(start, min(start + 1000, self.size.rows)))]

    def single_save(self, users: list[User]) -> None:
        self.indexed_single_save(users)

    def single_get(self) -> list[User]:
        return [decode(self.client.hgetall(f"member:{number}")) for number in range(self.size.singles)]  # type: ignore[arg-type]

    def partial_update(self, users: list[User]) -> None:  # type: ignore[override]
        for one in users:
            one.name = f"{one.name} changed"
            self.client.hset(f"member:{one.id}", "name", one.name)
