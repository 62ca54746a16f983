"""`begin`, which is called on a session class and on a session: the first makes the session, the second uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

__all__ = ["Begin"]

S = TypeVar("S")
P = ParamSpec("P")
C = TypeVar("C")
D = TypeVar("D")


class Begin(Generic[P, C, D]):
    """Two methods under one name: of the class, and of its instances."""

    def __init__(self, of_class: Callable[Concatenate[Any, P], C], of_instance: Callable[[Any], D]) -> None:
        self._of_class = of_class
        self._of_instance = of_instance

    @overload
    def __get__(self, session: None, owner: type[S]) -> Callable[P, C]: ...
    @overload
    def __get__(self, session: S, owner: type[S]) -> Callable[[], D]: ...
    def __get__(self, session: Any, owner: type[Any]) -> Callable[..., Any]:
        """Bind the method of the class, or that of the instance."""
        chosen: Any = self._of_class if session is None else self._of_instance
        bound: Callable[..., Any] = chosen.__get__(session, owner)
        return bound
