"""What a job's next run would find in the store already: rows of its own, of other campaigns, of earlier versions."""

from dataclasses import dataclass

import numpy as np

from estimators.designs.continued import Continued
from estimators.designs.protocol import DRAWS_PER_BLOCK
from estimators.subsets import identity_order, subset_keys
from orchestrator.loss_stores import loss_store_keeping
from orchestrator.plan import RowId
from orchestrator.preparation import PlannedCampaign, Prepared
from orchestrator.store.loss_store import LossStore
from orchestrator.tracking.runs import CampaignRun
from orchestrator.tracking.tracker import Tracker
from orchestrator.versions import going_on, moved_rows, refuse_other_data, stored_plan
from orchestrator.wanted_losses import Keeps, plan_of


@dataclass(frozen=True, slots=True)
class Reuse:
    """Different retrains that a campaign draws, those of them that are stored, and draws of an earlier training set."""

    retrains: int
    stored: int
    earlier: int

    def sentence(self) -> str:
        """For people; nothing where nothing is reused."""
        if not self.stored and not self.earlier:
            return ""
        text = f"{self.stored:,} of {self.retrains:,} drawn retrains are in the store already"
        return text + (f", {self.earlier:,} draws go on from an earlier training set" if self.earlier else "")


def reuse(prepared: Prepared, keeps: Keeps) -> dict[str, Reuse]:
    """By campaign id; nothing where the job was never started. Raises StoreRefused where its store is another's."""
    job = prepared.job
    tracker = Tracker.open(job.store, job.folder, job.name, create=False)
    parent = None if tracker is None else tracker.find_job_run()
    if tracker is None or parent is None:
        return {}
    refuse_other_data(parent, prepared)
    runs = tracker.campaign_runs()
    store = loss_store_keeping(prepared, runs, keeps, moved_rows(prepared, runs))
    store.refresh()
    return {planned.id: _reuse(prepared, planned, runs, store) for planned in prepared.campaigns}


def _reuse(prepared: Prepared, planned: PlannedCampaign, runs: list[CampaignRun], store: LossStore) -> Reuse:
    run = next((run for run in runs if run.campaign_id == planned.id), None)
    facts = None if run is None else plan_of(run)
    if run is None or facts is None:
        design = going_on(prepared, planned, runs)
    else:
        design = stored_plan(prepared, run, facts).design
    identities = prepared.loaded.train_identities
    order, rows = identity_order(identities), set[RowId]()
    for start in range(0, planned.draws, DRAWS_PER_BLOCK):
        stop = min(start + DRAWS_PER_BLOCK, planned.draws)
        keys = subset_keys(design.draws(start, stop), identities, order)
        rows.update(map(RowId, keys, np.asarray(design.replicates(start, stop)).tolist()))
    asked = list(rows)
    earlier = design.taken(planned.draws) if isinstance(design, Continued) else 0
    return Reuse(len(asked), len(asked) - len(store.missing(asked)), earlier)
