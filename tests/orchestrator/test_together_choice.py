"""K is chosen once, kept with the job's run, and shown by the plan; a replay trains no pilot of its own."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from orchestrator.commands.plan import command
from orchestrator.job_run import run
from orchestrator.jobs.job_file import load_job
from orchestrator.together_choice import CHOICE_FILE
from workers import together_pilot
from workers.together_pilot import TogetherChoice

MODEL = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    def forward(self, x):
        return self.layers(x)
"""
JOB = """
name: chosen
data: {train: train.npz, test: test.npz}
learner: {kind: torch, model: model.py:Net, epochs: 2, batch_size: 8, losses: [cross_entropy]}
campaigns: [{design: bernoulli, probability: 0.5, retrains: RETRAINS}]
cluster: {address: in_process}
"""


def job(folder: Path, retrains: int = 20) -> Path:
    random = np.random.default_rng(0)
    for name, rows in (("train", 24), ("test", 6)):
        X = random.normal(size=(rows, 3)).astype(np.float32)
        np.savez(folder / f"{name}.npz", X=X, y=(X[:, 0] > 0).astype(np.int64))
    (folder / "model.py").write_text(MODEL)
    (folder / "job.yaml").write_text(JOB.replace("RETRAINS", str(retrains)))
    return folder / "job.yaml"


@pytest.mark.usefixtures("tracking_database")
def test_the_pilots_choice_is_kept_and_never_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together_pilot, "chosen", lambda rates: 16)
    first = run(load_job(job(tmp_path)))
    assert first.campaigns[0].store.facts().together == (16,)
    kept = next(tmp_path.rglob(CHOICE_FILE)).read_text()
    assert TogetherChoice.decode(kept).together == 16

    monkeypatch.setattr(together_pilot, "chosen", lambda rates: 4)
    job(tmp_path, retrains=30)
    again = run(load_job(tmp_path / "job.yaml"))
    assert again.campaigns[0].plan.facts.together == 16
    shown = CliRunner().invoke(command, [str(tmp_path / "job.yaml")]).output
    assert "16 retrains train together" in shown
    assert "against one at a time: 1x with K = 1" in shown
