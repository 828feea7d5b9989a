"""The test sets that a job was extended by, kept with its parent run as `test-sets.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from orchestrator.errors import JobError
from orchestrator.preparation import Prepared
from orchestrator.store.chunk_files import Accept
from orchestrator.store.loss_store import LossStore
from orchestrator.store.moved_rows import Moved
from orchestrator.tracking.runs import CampaignRun
from orchestrator.tracking.tracker import Tracker
from orchestrator.wording import did_you_mean, listed, shown
from workers.chunk_types import ChunkHeader

FILE = "test-sets.json"


@dataclass(frozen=True, slots=True)
class TestSet:
    """Losses of kept models on a test set. version: its fingerprint; the job's own where only losses were added.

    losses: names. train_losses: they are kept on the training instances too. source: where it came from.
    """

    __test__ = False  # no test class, whatever pytest thinks

    name: str
    version: str
    n_test: int
    losses: tuple[str, ...]
    train_losses: bool
    source: str


def read_test_sets(tracker: Tracker, run_id: str) -> dict[str, TestSet]:
    """The test sets of a job by name, oldest first."""
    content = tracker.get(run_id, FILE)
    if content is None:
        return {}
    found = [TestSet(**{**facts, "losses": tuple(facts["losses"])}) for facts in json.loads(content)]
    return {each.name: each for each in found}


def keep_test_set(tracker: Tracker, run_id: str, test_set: TestSet) -> None:
    """Note a test set, over an older one of its name; to be called under the lease."""
    known = read_test_sets(tracker, run_id) | {test_set.name: test_set}
    tracker.put(run_id, FILE, json.dumps([asdict(each) for each in known.values()], indent=1))


def test_set_named(known: Mapping[str, TestSet], name: str) -> TestSet:
    """The test set of that name; raises JobError with those there are."""
    if name in known:
        return known[name]
    there = f"test sets: {listed(known)}" if known else "none was added: apportion extend JOB --test FILE"
    raise JobError(
        f"there is no test set `{shown(name)}`", where="--test-set", mend=f"{did_you_mean(name, known)} {there}".strip()
    )


def side_store(runs: list[CampaignRun], prepared: Prepared, test_set: TestSet, moved: Mapping[str, Moved]) -> LossStore:
    """The rows of a test set: side files of its version that hold its losses.

    moved: other versions of the training set. Losses on training instances are those of the version now.
    """
    n, prints = prepared.loaded.dataset.n, replace(prepared.fingerprints, test=test_set.version)
    stores = {run.campaign_id: run.chunk_store() for run in runs}
    return LossStore(
        stores, prints, n=n, n_test=test_set.n_test, kind="side", accept=_holding(test_set, moved), moved=moved
    )


def _holding(test_set: TestSet, moved: Mapping[str, Moved]) -> Accept:
    def accept(header: ChunkHeader) -> bool:
        then = moved.get(header.fingerprints.train)
        if test_set.train_losses and then is not None and not then.has_all:
            return False
        enough = set(test_set.losses) <= {*header.losses}
        enough = enough and (not test_set.train_losses or set(test_set.losses) <= {*header.train_losses})
        return header.fingerprints.test == test_set.version and enough

    return accept
