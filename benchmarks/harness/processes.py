"""Two processes at a time, each on one thread: what a machine with two cores gives."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import torch

from harness.timing import Timed

Work = Callable[[], object]


def _serve(connection: Connection, make: Callable[[], dict[str, Work]]) -> None:
    torch.set_num_threads(1)
    works = make()
    connection.send(sorted(works))
    while (name := connection.recv()) is not None:
        began = time.process_time()
        result = works[name]()
        connection.send((time.process_time() - began, result if isinstance(result, int) else 0))


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

    def run(self, name: str) -> tuple[float, int]:
        """Both do the work of that name: processor seconds of the slower one, and what the first counted."""
        for end in self._ends:
            end.send(name)
        found = [end.recv() for end in self._ends]
        return max(seconds for seconds, _ in found), found[0][1]

    def in_turn(self, names: Sequence[str], turns: int = 3) -> dict[str, Timed]:
        """Both do each work in turn, after a turn that is not counted.

        Processor seconds of single threads: the two disturb each other in caches and memory, as workers do, but what
        else runs on the machine is not counted.
        """
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(turns + 1):
            for name in names:
                found, _ = self.run(name)
                if turn:
                    seconds[name].append(found)
        return {name: Timed(name, tuple(values)) for name, values in seconds.items()}

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
