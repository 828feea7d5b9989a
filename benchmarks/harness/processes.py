"""Two processes at a time, each on one thread: what a machine with two cores gives."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import torch

Work = Callable[[], object]


def _serve(connection: Connection, make: Callable[[], dict[str, Work]]) -> None:
    torch.set_num_threads(1)
    works = make()
    connection.send(sorted(works))
    while (name := connection.recv()) is not None:
        result = works[name]()
        connection.send(result if isinstance(result, int) else None)


class Pair:
    """Two processes that each make the same pieces of work; `run` has both do one and waits for both."""

    def __init__(self, make: Callable[[], dict[str, Work]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends, self._processes = [], []
        for _ in range(2):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make), daemon=True)
            process.start()
            self._ends.append(ours)
            self._processes.append(process)
        names = [end.recv() for end in self._ends]
        self.names: list[str] = names[0]

    def run(self, name: str) -> list[int | None]:
        """Both do the work of that name; what it counted in each, where it counts."""
        for end in self._ends:
            end.send(name)
        return [end.recv() for end in self._ends]

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Both end."""
        for end in self._ends:
            end.send(None)
        for process in self._processes:
            process.join(10)
