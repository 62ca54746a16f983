"""The rows both sides store, as Pydantic declares them: those of environments without it are plain dicts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from pydantic import BaseModel, Field

__all__ = ["PostFields", "TicketFields", "UserFields"]


class _Fields(BaseModel):
    name: str
    email: str
    age: int
    city: str
    score: float
    active: bool
    joined: datetime


class UserFields(_Fields):
    """The eight fields of a user."""

    id: int


class TicketFields(_Fields):
    """The same with a key that is made with the object."""

    id: UUID = Field(default_factory=uuid4)


class PostFields(BaseModel):
    """A row with a set and a list beside it."""

    id: int
    title: str
    tags: set[str]
    items: list[str]
