"""`begin`, which is called on a session class and on a session: the first makes the session, the second uses it.

One descriptor for each colour, since what a type checker sees of them differs: the session it enters is that of the
class or instance it was found on, subclasses included.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar, overload

__all__ = ["AsyncBegin", "Begin"]

S = TypeVar("S")
D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)
C_co = TypeVar("C_co", covariant=True)


class Opening(Protocol[D_contra, C_co]):
    """`begin` of a session class."""

    def __call__(self, db: D_contra | None = None) -> C_co:
        """Make a session on a database, the default one where it is left out."""
        ...


class _TwoMethods:
    """Two methods under one name: of the class, and of its instances."""

    def __init__(self, of_class: Any, of_instance: Any) -> None:
        self._of_class = of_class
        self._of_instance = of_instance

    def _bound(self, session: Any, owner: type[Any]) -> Any:
        chosen = self._of_class if session is None else self._of_instance
        return chosen.__get__(session, owner)


class Begin(_TwoMethods, Generic[D]):
    """`begin` of a blocking session on a database `D`."""

    @overload
    def __get__(self, session: None, owner: type[S]) -> Opening[D, AbstractContextManager[S]]: ...
    @overload
    def __get__(self, session: S, owner: type[S]) -> Callable[[], AbstractContextManager[S]]: ...
    def __get__(self, session: Any, owner: type[Any]) -> Any:
        """Bind the method of the class, or that of the instance."""
        return self._bound(session, owner)


class AsyncBegin(_TwoMethods, Generic[D]):
    """`begin` of an awaited session on a database `D`."""

    @overload
    def __get__(self, session: None, owner: type[S]) -> Opening[D, AbstractAsyncContextManager[S]]: ...
    @overload
    def __get__(self, session: S, owner: type[S]) -> Callable[[], AbstractAsyncContextManager[S]]: ...
    def __get__(self, session: Any, owner: type[Any]) -> Any:
        """Bind the method of the class, or that of the instance."""
        return self._bound(session, owner)
