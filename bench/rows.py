"""The rows both sides store, as Pydantic declares them: those of environments without it are plain dicts."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

__all__ = ["PostFields", "UserFields"]


class UserFields(BaseModel):
    """The eight fields of a user."""

    id: int
    name: str
    email: str
    age: int
    city: str
    score: float
    active: bool
    joined: datetime


class PostFields(BaseModel):
    """A row with a set and a list beside it."""

    id: int
    title: str
    tags: set[str]
    items: list[str]
