"""A fleet of sleeping workers on real Ray: what 100,000 chunks (or FLEET_CHUNKS) cost the driver, end to end."""

import os
import sys
from pathlib import Path

import pytest

from orchestrator import session

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1700)]

CHUNKS, WORKERS = int(os.environ.get("FLEET_CHUNKS", "100000")), 16


def test_a_hundred_thousand_chunks_cost_little_and_memory_stays(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    monkeypatch.setattr(session, "chunk_rows", lambda **_: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    import dispatch

    watched = dispatch.carried_out("local", CHUNKS, WORKERS)
    _, chunks, cpu, rate, growth = dispatch.row("fleet", watched)
    sys.stdout.write(f"{chunks} chunks: {cpu} ms of the driver's CPU a chunk, {rate}/s, {growth} MB for 1,000 chunks\n")
    assert watched.chunks >= CHUNKS
    assert float(cpu) <= 1.0
    assert float(rate) >= 200
    assert float(growth) < 1.0
