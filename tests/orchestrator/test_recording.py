"""What the driver does with outcomes while the store is away."""

import io
from dataclasses import replace

import pytest
from test_run import a_job, carried_out

from orchestrator.driver.recorder import Counts, Progress
from orchestrator.progress import Screen
from orchestrator.recording import CampaignRecorder, Tally
from workers.errors import StoreError


class Away:
    """A loss store that may be away: from its `patience`-th question on."""

    def __init__(self, store):
        self._store, self.patience = store, None

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def ask(*words, **options):
            if self.patience is not None:
                self.patience -= 1
                if self.patience < 0:
                    raise StoreError("GET http://host: no connection, 6 times\n    see that it runs")
            return found(*words, **options)

        return ask


class Noted(list):
    def metrics(self, step, metrics, *, last=False):
        self.append(metrics)


@pytest.mark.usefixtures("tracking_database")
def test_a_store_that_is_away_costs_statistics_for_a_while_and_never_the_campaign(tmp_path):
    campaign = carried_out(a_job(tmp_path))[0].campaigns[0]
    now = [0.0]

    def recorder(store):
        return CampaignRecorder(
            replace(campaign, store=store),
            None,
            None,
            journal=Noted(),
            screen=Screen(io.StringIO()),
            values=("banzhaf",),
            tally=Tally(planned=42, spared=42, started=0.0),
            clock=lambda: now[0],
        )

    def tick(each, seconds):
        now[0] += seconds
        each.tick(Progress(Counts(), 0, 0, 1, now[0]))
        return each._journal[-1]

    name = "mean_standard_error/banzhaf/cross_entropy"
    undisturbed = tick(recorder(campaign.store), 3.0)
    lost = []
    for questions in range(6):  # away from the n-th question on: before, amid and after the reading of rows
        store = Away(campaign.store)
        disturbed = recorder(store)
        store.patience = questions
        first = tick(disturbed, 3.0)
        assert first["retrains"] == 42
        store.patience = None
        if name not in first:
            assert name not in tick(disturbed, 3.0)
            first = tick(disturbed, 16.0)
            lost.append(questions)
        assert first[name] == undisturbed[name]
    assert len(lost) > 2
    store.patience = 0
    disturbed.finish()
    assert disturbed._journal[-1]["retrains"] == 42
