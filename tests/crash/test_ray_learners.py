"""Real learners on real actors: the same bits as in this process, and a user's function that kills, hangs, raises."""

import time

import numpy as np
import pytest

from estimators.seeding import retrain_seeds
from estimators.subsets import instance_identities, pack, subset_keys
from orchestrator.cluster.pool_ray import RayPool
from orchestrator.cluster.ray_nodes import Ask
from orchestrator.cluster.worker_check import StoreProbe
from orchestrator.driver.dispatch import carry_out
from orchestrator.driver.driver_state import Policy
from orchestrator.driver.pool_in_process import InProcessPool
from workers.chunk_file import decode
from workers.chunk_types import Fingerprints
from workers.dataset import Dataset
from workers.learner_specs import FunctionSpec, RidgeSpec
from workers.outcomes import ChunkTask
from workers.setup import CampaignPlace, WorkerSetup
from workers.stores import open_chunk_store
from workers.training import ChunkFacts
from workers.user_code import snapshot_code

pytestmark = pytest.mark.ray

N, N_TEST, K = 20, 7, 8
USERS_FILE = """
import os, signal, time
import numpy as np
def losses(members, seed, *, folder=None):
    if members.sum() == 3:
        {harm}
    return {{"squared_error": np.full(7, members.sum(), dtype=np.float32)}}
"""


def data():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N + N_TEST, 3)).astype(np.float32)
    y = X @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=N + N_TEST)
    return Dataset("regression", X[:N], y[:N], X[N:], y[N:])


def tasks(chunks):
    """Subsets of 5 to 15 instances, and one of 3 instances as the fourth row of the second chunk."""
    rng = np.random.default_rng(6)
    identities = instance_identities([bytes([i]) for i in range(N)])
    for chunk in range(chunks):
        members = np.zeros((K, N), dtype=np.bool_)
        for row in range(K):
            size = 3 if (chunk, row) == (1, 3) else int(rng.integers(5, 16))
            members[row, rng.choice(N, size, replace=False)] = True
        keys, replicates = subset_keys(members, identities), np.zeros(K, dtype=np.int64)
        seeds = retrain_seeds(0, keys, replicates)
        yield ChunkTask("c", chunk, pack(members), tuple(keys), seeds, replicates, together=4)


def setup_of(spec, folder, code=None):
    facts = ChunkFacts("c", Fingerprints("a", "b", "c", "d"), N, N_TEST, ("squared_error",))
    return WorkerSetup(spec, data(), code, "cpu", 4, {"c": CampaignPlace(str(folder), facts)})


class Ledger:
    def __init__(self):
        self.failures = {}

    def stored(self, task, receipt):
        assert receipt.rows == task.rows

    def failed(self, task, failure, attempts):
        self.failures[task.keys[0]] = failure

    def tick(self, progress):
        pass


def run(pool, **options):
    ledger = Ledger()
    policy = Policy(loss_pause=0.1, **options)
    carry_out(tasks(6), pool, ledger, policy=policy, clock=time.monotonic, stopping=lambda: 0)
    pool.close()
    return ledger


def losses_in(folder):
    store = open_chunk_store(str(folder))
    chunks = [decode(store.get(name)) for name in store.names()]
    return {
        key: row.tobytes()
        for chunk in chunks
        for key, row in zip(chunk.rows.keys, chunk.rows.losses["squared_error"], strict=True)
    }


def test_losses_from_actors_are_the_bits_of_this_process(ray_cluster, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    spec = RidgeSpec(losses=("squared_error",), train_losses=False)
    run(InProcessPool(lambda: setup_of(spec, here).make_trainer("here")))
    pool = RayPool(setup_of(spec, there), ask=Ask(), count=2, store_probe=StoreProbe(there))
    run(pool, backup_after=0.0)  # a copy that is no longer needed ends where it stands, temporary file and all
    assert len(losses_in(here)) == 6 * K
    assert losses_in(here) == losses_in(there)
    assert not [path for path in there.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("harm", "kind", "words"),
    [
        pytest.param("os.abort()", "died", "was lost", marks=pytest.mark.slow),
        pytest.param("time.sleep(1e6)", "timeout", "longer than 2 s", marks=pytest.mark.slow),
        ("raise OSError('no such table')", "exception", "no such table"),
        pytest.param(
            "return {'squared_error': np.full(7, np.nan, dtype=np.float32)}",
            "non_finite",
            "squared_error",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_users_function_that_does_harm_on_one_subset_fails_there_only(ray_cluster, tmp_path, harm, kind, words):
    (tmp_path / "mine.py").write_text(USERS_FILE.format(harm=harm))
    spec = FunctionSpec(function="mine.py:losses", deterministic=True)
    setup = setup_of(spec, tmp_path / "store", snapshot_code(str(tmp_path), "mine.py:losses"))
    ledger = run(RayPool(setup, ask=Ask(), count=2), time_limit=2.0)
    [(key, failure)] = ledger.failures.items()
    assert failure.kind == kind
    assert words in failure.reason
    assert key == list(tasks(2))[1].keys[3]
    assert len(losses_in(tmp_path / "store")) == 6 * K - 1
