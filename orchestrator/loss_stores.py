"""Loss stores opened over the campaigns of a job."""

from collections.abc import Mapping

from orchestrator.data.datasets import LoadedData
from orchestrator.plan import PlanFacts
from orchestrator.preparation import Prepared
from orchestrator.store.loss_store import LossStore
from orchestrator.store.manifest import MANIFEST_TAG
from orchestrator.store.moved_rows import Moved
from orchestrator.store.walking_store import WalkingStore
from orchestrator.tracking.runs import CampaignRun
from orchestrator.wanted_losses import Keeps, holding
from workers.chunk_types import Fingerprints


def loss_store_keeping(
    prepared: Prepared, runs: list[CampaignRun], keeps: Keeps, moved: Mapping[str, Moved]
) -> LossStore:
    """The rows that hold what a learner keeps, for a look before its plans are made."""
    stores = {run.campaign_id: run.chunk_store() for run in runs}
    data = prepared.loaded.dataset
    accept = holding([keeps], moved)
    return LossStore(stores, prepared.fingerprints, n=data.n, n_test=data.n_test, accept=accept, moved=moved)


def loss_store(
    loaded: LoadedData,
    fingerprints: Fingerprints,
    runs: list[CampaignRun],
    *,
    plans: Mapping[str, PlanFacts] | None = None,
    moved: Mapping[str, Moved] | None = None,
) -> LossStore:
    """The rows of all campaigns of a job.

    plans: of the campaigns whose losses every row has to hold, by id. moved: other versions of the training set.
    """
    plans, moved = plans or {}, moved or {}
    stores = {run.campaign_id: run.chunk_store() for run in runs}
    walking = {run.campaign_id: stores[run.campaign_id] for run in runs if run.parameters.get("design") == "walk"}
    manifests = {run.campaign_id: run.tags.get(MANIFEST_TAG, "") for run in runs if run.campaign_id in plans}
    n, n_test, accept = loaded.dataset.n, loaded.dataset.n_test, holding(plans.values(), moved)
    if walking:
        return WalkingStore(
            stores, fingerprints, walking=walking, n=n, n_test=n_test, manifests=manifests, accept=accept, moved=moved
        )
    return LossStore(stores, fingerprints, n=n, n_test=n_test, manifests=manifests, accept=accept, moved=moved)
