"""One retrain on several devices, here copies on the CPU: the losses of one device to rounding, and fixed bits."""

import numpy as np
import pytest
import torch
from learner_data import assert_same_bits, classification_data, seeds, subsets
from torch import nn

from workers.checkpointing import GroupCheckpoints, resuming
from workers.errors import LearnerError
from workers.learner_specs import OptimizerSpec, TorchSpec
from workers.learners.torch_functions import UserFunctions
from workers.learners.torch_learner import TorchLearner
from workers.learners.torch_replicas import devices_of_retrain


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        self.layers[3].bias.requires_grad_(requires_grad=False)

    def forward(self, x):
        return self.layers(x)


class Normalised(Net):
    def __init__(self):
        super().__init__()
        self.layers[2] = nn.BatchNorm1d(16)


def noise(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator, device=inputs.device)


def learner_of(devices, *, model=Net, device="cpu", **options):
    spec = TorchSpec(
        model="model.py:Net",
        epochs=3,
        batch_size=8,
        optimizer=OptimizerSpec(name="adamw", lr=0.02),
        losses=("cross_entropy",),
        clip_norm=1.0,
        **{"together": 1, **options},
    )
    data = classification_data(n=60, n_test=20, weights=np.random.default_rng(1).uniform(0.2, 2.0, 60))
    functions = UserFunctions(augment=noise)
    return TorchLearner(spec, data, model, functions=functions, device=device, devices=devices)


MEMBERS = subsets(3, 60)
MEMBERS[0, 25:] = False  # a last batch of another length
MEMBERS[1] = False
MEMBERS[1, :9] = True  # and one of a single instance


@pytest.mark.parametrize("count", [2, 3, 8])
def test_several_devices_give_the_losses_of_one_to_rounding_and_their_own_bits_again(count):
    one = learner_of(("cpu",)).retrain(MEMBERS, seeds(3))
    learner = learner_of(("cpu",) * count)
    several = learner.retrain(MEMBERS, seeds(3))
    np.testing.assert_allclose(several.test["cross_entropy"], one.test["cross_entropy"], rtol=2e-4, atol=2e-5)
    assert_same_bits(learner.retrain(MEMBERS[2:], seeds(3)[2:]).test, {k: v[2:] for k, v in several.test.items()})
    assert f"{count} devices a retrain" in learner.numeric_class


def test_one_device_is_said_by_number_or_by_name():
    assert_same_bits(
        learner_of(1).retrain(MEMBERS, seeds(3)).test, learner_of(("cpu",)).retrain(MEMBERS, seeds(3)).test
    )
    assert "devices" not in learner_of(1).numeric_class
    assert devices_of_retrain("cpu", 3) == ("cpu",) * 3


def test_several_devices_train_one_retrain_at_a_time():
    learner = learner_of(2, together="auto")
    assert (learner.together, learner.pilot_sizes) == (1, ())
    assert "2 devices" in learner.traits.reason


def test_batch_normalisation_is_refused_with_what_to_take():
    with pytest.raises(LearnerError, match=r"normalises batches.*GroupNorm.*gpus: 1"):
        learner_of(2, model=Normalised)
    learner_of(1, model=Normalised)


class Stopped(Exception):
    pass


class Interrupting(GroupCheckpoints):
    def save(self, step, arrays):
        super().save(step, arrays)
        raise Stopped


def test_a_retrain_on_several_devices_goes_on_to_the_same_bits(tmp_path):
    learner, row = learner_of(2), MEMBERS[2:]
    undisturbed, stops = learner.retrain(row, seeds(1)), 0
    while True:
        try:
            found = resuming(learner, Interrupting(tmp_path, 1e-9)).retrain(row, seeds(1))
            break
        except Stopped:
            stops += 1
    assert stops > 3
    assert_same_bits(found.test, undisturbed.test)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 1, reason="needs a CUDA device")
def test_several_gpus_give_the_losses_of_one_to_rounding():
    one, several = (learner_of(count, device="cuda") for count in (1, max(2, torch.cuda.device_count())))
    expected, found = one.retrain(MEMBERS, seeds(3)), several.retrain(MEMBERS, seeds(3))
    np.testing.assert_allclose(found.test["cross_entropy"], expected.test["cross_entropy"], rtol=1e-3, atol=1e-4)
    assert_same_bits(several.retrain(MEMBERS, seeds(3)).test, found.test)
