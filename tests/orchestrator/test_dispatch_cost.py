"""What the driver's loop itself costs, whatever the retrains cost: time a chunk, and memory."""

import time
import tracemalloc
from dataclasses import replace

from simulated_cluster import chunk_of

from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.driver.pool import Finished, Running
from workers.outcomes import Receipt

IN_FLIGHT = 200


class ReadyPool:
    """100 workers whose chunks are finished as soon as they are asked for."""

    def __init__(self):
        self.queue, self.tickets = [], 0

    def free(self):
        return IN_FLIGHT - len(self.queue)

    def submit(self, task, *, avoid=frozenset()):
        self.tickets += 1
        self.queue.append((self.tickets, task))
        return self.tickets

    def next_finished(self, timeout):
        ticket, task = self.queue.pop(0)
        return Finished(ticket, task, Receipt(task.chunk, "name", "", task.rows, 1, 0.1, "w", "class"))

    def running(self):
        return [Running(ticket, task, "w", 0.0) for ticket, task in self.queue]

    def workers(self):
        return ["w"] * (IN_FLIGHT // 2)


class Forgetful:
    def stored(self, task, receipt):
        pass

    def tick(self, progress):
        pass


def carry(chunks, *, at_chunk=lambda number: None):
    first = chunk_of(0, 32)

    def tasks():
        for number in range(chunks):
            at_chunk(number)
            yield replace(first, chunk=number)

    options = {"policy": Policy(time_limit=1e9), "clock": time.monotonic, "stopping": lambda: 0}
    return carry_out(tasks(), ReadyPool(), Forgetful(), **options)


def test_a_chunk_costs_the_driver_less_than_a_millisecond_of_its_processor():
    began = time.process_time()
    summary = carry(20_000)
    assert summary.counts.chunks_stored == 20_000
    assert (time.process_time() - began) / 20_000 < 1e-3


def test_memory_does_not_grow_with_chunks_done():
    marks = {}

    def at_chunk(number):
        if number in {2_000, 8_000}:
            marks[number] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        carry(8_001, at_chunk=at_chunk)
    finally:
        tracemalloc.stop()
    assert marks[8_000] - marks[2_000] < 6_000  # one byte a chunk
