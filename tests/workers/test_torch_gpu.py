"""What only a GPU can show: recorded steps, precision, masks, and memory that runs out. None was at hand here."""

import numpy as np
import pytest
import torch
from test_torch_learner import MODELS, bits, spec, subsets

from workers.learners.torch_dropout import keep_mask
from workers.learners.torch_learner import TorchLearner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("name", MODELS)
def test_recorded_steps_give_the_bits_of_steps_that_are_launched(name):
    model, data, arguments = MODELS[name]
    members, seeds = subsets([50, 0, 33, 7])
    found = [
        TorchLearner(spec(arguments=arguments, cuda_graphs=graphs), data(), model, device="cuda")
        for graphs in (False, True)
    ]
    one, other = (learner.retrain(members, seeds) for learner in found)
    np.testing.assert_array_equal(bits(one), bits(other))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_precision_moves_losses_a_little_and_is_named(precision):
    model, data, arguments = MODELS["wide"]
    members, seeds = subsets([50, 33])
    exact = TorchLearner(spec(arguments=arguments), data(), model, device="cuda").retrain(members, seeds)
    rough = TorchLearner(spec(arguments=arguments, precision=precision), data(), model, device="cuda")
    np.testing.assert_allclose(
        rough.retrain(members, seeds).test["cross_entropy"], exact.test["cross_entropy"], atol=0.1
    )
    assert precision in rough.numeric_class


def test_masks_are_those_of_the_cpu():
    places, key = torch.arange(10_000, dtype=torch.int32), torch.tensor(77, dtype=torch.int32)
    assert torch.equal(keep_mask(places.cuda(), key.cuda(), 0.3).cpu(), keep_mask(places, key, 0.3))
