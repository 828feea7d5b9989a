"""K of a job's retrains: chosen once by a pilot, kept with the job's run, and never decided again."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.preparation import Prepared, devices_of
from orchestrator.tracking.runs import JobRun
from orchestrator.tracking.tracker import Tracker
from workers.device import limit_gpu
from workers.learner_specs import TorchSpec
from workers.learners import make_learner
from workers.together_pilot import Piloted, TogetherChoice, pilot

CHOICE_FILE = "together.json"


class ChoiceOfTogether:
    """Makes the choice when it is first asked for, unless the job's run already holds one."""

    def __init__(self, prepared: Prepared, workers: int, say: Callable[[str], None]) -> None:
        self._prepared = prepared
        self._workers = workers
        self._say = say
        self._choice: TogetherChoice | None = None
        self._made = False
        self._keep: Callable[[TogetherChoice], object] | None = None

    def recall(self, tracker: Tracker, run: JobRun) -> bool:
        """Take the choice that the job's run holds for the same learner and data; whether there is one."""
        content = tracker.get(run.run_id, CHOICE_FILE) if run.fingerprints == self._prepared.fingerprints else None
        if content is not None:
            self._choice, self._made = TogetherChoice.decode(content), True
        return content is not None

    def recall_or_keep(self, tracker: Tracker, run: JobRun) -> None:
        """As `recall`; where there is none, keep the one that was made, or will be, with the run."""
        if self.recall(tracker, run):
            return
        self._keep = lambda choice: tracker.put(run.run_id, CHOICE_FILE, choice.encode())
        if self._choice is not None:
            self._keep(self._choice)

    def get(self) -> TogetherChoice | None:
        """The choice; None where the learner has its own way, or the job names K."""
        if not self._made:
            self._choice, self._made = self._piloted(), True
            if self._choice is not None and self._keep is not None:
                self._keep(self._choice)
        return self._choice

    def _piloted(self) -> TogetherChoice | None:
        job = self._prepared.job
        if not isinstance(job.learner, TorchSpec) or job.learner.together != "auto":
            return None
        limit_gpu(job.workers.gpus)
        data = dataclasses.replace(self._prepared.loaded.dataset, groups=None)
        learner = make_learner(job.learner, data, self._prepared.code, devices=devices_of(job))
        if not isinstance(learner, Piloted) or not learner.pilot_sizes:
            return None
        self._say("pilot: how many retrains to train together ...")
        most = max(campaign.draws for campaign in self._prepared.campaigns)
        with _threads(max(1, int(job.workers.cpus))):
            choice = pilot(learner, most=-(-most // self._workers))
        if choice is not None and choice.sentence():
            self._say(f"pilot: {choice.sentence()}; K = {choice.together}")
        return choice


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """PyTorch with as many threads as a worker has."""
    import torch  # noqa: PLC0415 - light commands come by here without a torch learner

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
