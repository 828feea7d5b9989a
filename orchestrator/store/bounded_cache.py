"""Things kept in memory up to a number of bytes; what was used longest ago goes first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """At most `limit` bytes, as `size` counts them; a value that is larger alone is not kept. Safe for threads."""

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.bytes = 0
        self._limit, self._size = limit, size
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            self._keep(key, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    def _keep(self, key: Key, value: Value) -> None:
        if key in self._kept or self._size(value) > self._limit:
            return
        self._kept[key] = value
        self.bytes += self._size(value)
        while self.bytes > self._limit:
            _, gone = self._kept.popitem(last=False)
            self.bytes -= self._size(gone)
