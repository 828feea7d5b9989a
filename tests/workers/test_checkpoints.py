"""Retrains that are killed in their middle and go on: the same bits as undisturbed ones, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from learner_data import assert_same_bits, classification_data, regression_data, seeds, subsets
from test_chunk_trainer import Memory, facts, task_of
from torch import nn

from workers.checkpointing import CheckpointPlace, GroupCheckpoints, Resumable, clear_campaign, resuming
from workers.errors import LearnerError
from workers.grouped import grouped_learner
from workers.keeping import ModelKeeper
from workers.learner_specs import (
    CheckpointSpec,
    FunctionSpec,
    LogisticRegressionSpec,
    OptimizerSpec,
    RidgeSpec,
    ScheduleSpec,
    TorchSpec,
)
from workers.learners import make_learner
from workers.learners.function import function_learner
from workers.learners.torch_learner import TorchLearner
from workers.outcomes import Receipt
from workers.training import ChunkTrainer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Net(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))

    def forward(self, x):
        return self.layers(x)


class Noisy(Net):
    """Draws from PyTorch's own generator in training, so that its state is part of a checkpoint; and counts calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        if self.training:
            self.calls += 1
            x = x + 0.1 * torch.randn(x.shape)
        return self.layers(x)


OPTIMIZERS = [
    OptimizerSpec(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    OptimizerSpec(name="adamw", lr=0.01, weight_decay=0.1),
]


class Half(Net):
    def __init__(self):
        super().__init__(0.3)


CLASSES = {"together": (Net, 3), "dropout": (Half, 3), "looped": (Net, 1), "noisy": (Noisy, 1)}


def learner_of(name, optimizer):
    model, together = CLASSES[name]
    spec = TorchSpec(
        model="model.py:Net",
        epochs=5,
        batch_size=8,
        together=together,
        optimizer=optimizer,
        schedule=ScheduleSpec(name="cosine", warmup=0.1),
        losses=("cross_entropy", "zero_one"),
    )
    return TorchLearner(spec, classification_data(n=60, n_test=20), model)


class Stopped(Exception):
    pass


class Interrupting(GroupCheckpoints):
    """Stops the process's work right after a state was kept, as a kill would."""

    def save(self, step, arrays):
        super().save(step, arrays)
        raise Stopped


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
@pytest.mark.parametrize("name", CLASSES)
def test_a_retrain_that_was_stopped_again_and_again_gives_the_bits_of_an_undisturbed_one(name, optimizer, tmp_path):
    learner = learner_of(name, optimizer)
    count = learner.together
    members = subsets(count, 60)
    members[0, :40] = False  # of other lengths, so that models end at other steps
    undisturbed = learner.retrain(members, seeds(count))
    stops = 0
    while True:
        checkpoints = Interrupting(tmp_path / "group", 1e-9)
        try:
            found = resuming(learner, checkpoints).retrain(members, seeds(count))
            break
        except Stopped:
            stops += 1
    assert stops > 3
    assert_same_bits(found.test, undisturbed.test)
    assert_same_bits(found.train, undisturbed.train)


@pytest.mark.parametrize("name", CLASSES)
def test_losses_of_a_kept_network_are_those_of_its_retrain(name):
    learner = learner_of(name, OPTIMIZERS[0])
    assert isinstance(learner, ModelKeeper)
    members = subsets(5, 60)
    members[0], members[1] = True, False
    models, retrained = learner.trained(members, seeds(5)), learner.retrain(members, seeds(5))
    assert all(len(array) == 5 for array in models.values())
    found = learner.losses_of(models)
    assert_same_bits(found.test, retrained.test)
    assert_same_bits(found.train, retrained.train)
    with pytest.raises(LearnerError, match=r"layers\.0\.weight"):
        learner.losses_of({**models, "layers.0.weight": models["layers.0.weight"][:, :2]})


def test_a_kept_networks_parameters_load_into_its_class():
    learner = learner_of("together", OPTIMIZERS[0])
    members = subsets(1, 60)
    models = learner.trained(members, seeds(1))
    module = Net()
    module.load_state_dict({name: torch.from_numpy(array[0]) for name, array in models.items()})
    data = classification_data(n=60, n_test=20)
    with torch.no_grad():
        outputs = module.eval()(torch.tensor(data.test_features, dtype=torch.float32))
        losses = nn.functional.cross_entropy(outputs, torch.tensor(data.test_labels), reduction="none")
    np.testing.assert_allclose(learner.retrain(members, seeds(1)).test["cross_entropy"][0], losses, rtol=1e-5)


def test_damaged_states_are_passed_over_and_old_ones_do_not_stay(tmp_path):
    checkpoints = GroupCheckpoints(tmp_path / "group", 0.0, {"keys": ["ab"]})
    assert checkpoints.latest() is None
    checkpoints.save(3, {"a": np.arange(3.0)})
    checkpoints.save(10, {"a": np.arange(4.0)})
    [file] = (tmp_path / "group").glob("*.safetensors")
    assert json.loads((tmp_path / "group" / "group.json").read_text()) == {"keys": ["ab"]}
    np.testing.assert_array_equal(checkpoints.latest()["a"], np.arange(4.0))
    later = file.with_name("000000000011-0123456789ab.safetensors")
    later.write_bytes(file.read_bytes()[:-3])
    np.testing.assert_array_equal(checkpoints.latest()["a"], np.arange(4.0))
    checkpoints.clear()
    assert not (tmp_path / "group").exists()
    checkpoints.clear()


def test_states_are_kept_at_the_interval(tmp_path):
    now = [0.0]
    checkpoints = GroupCheckpoints(tmp_path, 10.0, clock=lambda: now[0])
    assert not checkpoints.due()
    now[0] = 9.0
    assert not checkpoints.due()
    now[0] = 10.0
    assert checkpoints.due()
    checkpoints.save(1, {"a": np.zeros(1)})
    assert not checkpoints.due()


def test_a_stored_chunk_leaves_no_checkpoint(tmp_path):
    learner, store = learner_of("looped", OPTIMIZERS[0]), Memory()
    place = CheckpointPlace(str(tmp_path), 1e-9)
    own = facts(n=60, n_test=20, losses=learner.losses, train_losses=learner.losses, checkpoints=place)
    receipt = ChunkTrainer(learner, store, own).train(task_of(rows=3, together=1, n=60))
    assert isinstance(receipt, Receipt)
    assert not [*tmp_path.iterdir()]


def test_what_is_left_of_a_campaign_is_cleared(tmp_path):
    base = tmp_path / "checkpoints"
    for name in ("uniform-1-aa", "uniform-1-bb", "other-2-cc"):
        GroupCheckpoints(base / name, 1.0).save(1, {"a": np.zeros(1)})
    clear_campaign(base, "uniform-1")
    assert [path.name for path in base.iterdir()] == ["other-2-cc"]
    clear_campaign(base, "other-2")
    assert not base.exists()
    clear_campaign(base, "other-2")


def counting(members, seed, *, folder=None):
    """Adds to a number in its folder, a step a call of `time`, and fails once in its middle."""
    state = folder / "state.json"
    steps = json.loads(state.read_text()) if state.exists() else 0
    while steps < 5:
        steps += 1
        state.write_text(json.dumps(steps))
        if steps == 3 and not (folder / "stopped").exists():
            (folder / "stopped").touch()
            raise RuntimeError("taken away")
    return {"loss": np.full(20, float(steps + members.sum()))}


def test_a_function_finds_its_folder_as_it_left_it(tmp_path):
    spec = FunctionSpec(function="f.py:counting", checkpoint=CheckpointSpec(every=1.0))
    learner, store = function_learner(spec, classification_data(n=60, n_test=20), counting), Memory()
    assert isinstance(learner, Resumable)
    place = CheckpointPlace(str(tmp_path), 1.0)
    own = facts(n=60, n_test=20, losses=("loss",), train_losses=(), checkpoints=place)
    task = task_of(rows=1, together=1, n=60)
    first = ChunkTrainer(learner, store, own).train(task)
    assert "taken away" in first.reason
    assert isinstance(ChunkTrainer(learner, store, own).train(task), Receipt)
    assert not [*tmp_path.iterdir()]


def test_groups_as_players_go_on_too(tmp_path):
    data = classification_data(n=60, n_test=20, groups=np.arange(60) // 3)
    spec = TorchSpec(model="model.py:Net", epochs=4, batch_size=8, together=2, losses=("cross_entropy",))
    learner = grouped_learner(TorchLearner(spec, data, Net), data.groups)
    members = subsets(2, 20)
    undisturbed = learner.retrain(members, seeds(2))
    with pytest.raises(Stopped):
        resuming(learner, Interrupting(tmp_path / "group", 1e-9)).retrain(members, seeds(2))
    found = resuming(learner, GroupCheckpoints(tmp_path / "group", 1e9)).retrain(members, seeds(2))
    assert_same_bits(found.test, undisturbed.test)
    assert_same_bits(found.train, undisturbed.train)
    linear = make_learner(RidgeSpec(), regression_data(groups=np.arange(60) // 3))
    with pytest.raises(LearnerError, match=r"learner\.checkpoint.*RidgeLearner"):
        resuming(linear, GroupCheckpoints(tmp_path, 1.0))


def test_what_cannot_go_on_says_so(tmp_path):
    learner = make_learner(LogisticRegressionSpec(), classification_data())
    with pytest.raises(LearnerError, match=r"learner\.checkpoint.*LogisticRegressionLearner"):
        resuming(learner, GroupCheckpoints(tmp_path, 1.0))
    spec = FunctionSpec(function="f.py:f", checkpoint=CheckpointSpec())
    with pytest.raises(LearnerError, match="unexpected keyword argument 'folder'"):
        function_learner(spec, classification_data(), lambda members, seed: {"loss": members})


def test_killed_in_its_middle_a_retrain_goes_on_in_another_process_to_the_same_bits(tmp_path):
    command = [sys.executable, str(HERE / "long_retrain.py")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}

    def start(folder, slow):
        return subprocess.Popen([*command, str(folder), slow], env=environment, stdout=subprocess.PIPE, text=True)

    undisturbed = start(tmp_path / "undisturbed", "fast")
    whole = undisturbed.communicate(timeout=120)[0]
    assert undisturbed.returncode == 0
    killed = start(tmp_path / "killed", "slow")
    deadline = time.monotonic() + 100
    states = list[Path]()
    while not states and time.monotonic() < deadline:
        states = [*(tmp_path / "killed").rglob("*.safetensors")]
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    assert states, "no state was kept in time"
    assert killed.returncode == -signal.SIGKILL
    assert not [*(tmp_path / "killed").rglob("*.parquet")]
    again = start(tmp_path / "killed", "fast")
    resumed = again.communicate(timeout=120)[0]
    assert json.loads(resumed)["losses"] == json.loads(whole)["losses"]
    assert json.loads(resumed)["steps"] < json.loads(whole)["steps"]
    assert not (tmp_path / "killed" / "checkpoints").exists() or not [*(tmp_path / "killed" / "checkpoints").iterdir()]
