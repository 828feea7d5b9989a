"""K is the smallest size near the best rate, found in a few seconds whatever the sizes cost."""

import dataclasses

import numpy as np
import pytest
from torch import nn

from workers.dataset import Dataset
from workers.learner_specs import TorchSpec
from workers.learners.torch_learner import TorchLearner
from workers.together_pilot import Piloted, TogetherChoice, chosen, pilot


@dataclasses.dataclass
class Timed:
    """A learner of known speed, on a clock of its own."""

    seconds: dict
    now: float = 0.0
    tried: list = dataclasses.field(default_factory=list)

    @property
    def pilot_sizes(self):
        return tuple(self.seconds)

    def pilot_seconds(self, together, steps):
        self.now += together * steps * self.seconds[together]
        self.tried.append(together)
        return self.seconds[together]

    def choice(self, most=10_000):
        return pilot(self, most=most, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("rates", "best"), [({1: 1.0, 4: 3.0, 16: 9.8, 64: 10.0}, 16), ({1: 1.0, 4: 1.02}, 1), ({1: 2.0, 4: 1.0}, 1)]
)
def test_the_smallest_size_within_a_twentieth_of_the_best_is_chosen(rates, best):
    assert chosen(rates) == best


def test_sizes_that_only_lose_end_the_pilot():
    learner = Timed({1: 1e-3, 4: 2e-3, 16: 2e-3, 64: 2e-3, 256: 2e-3})
    assert learner.choice().together == 1
    assert set(learner.tried) == {1, 4, 16}


def test_a_slow_model_is_not_tried_beyond_the_seconds_there_are():
    learner = Timed({1: 0.5, 4: 0.1, 16: 0.1})
    assert learner.choice().together == 1
    assert learner.now < 5


def test_a_size_that_runs_out_of_memory_ends_the_pilot_and_other_errors_are_not_hidden():
    class Short(Timed):
        error = MemoryError("out of memory")

        def pilot_seconds(self, together, steps):
            if together > 16:
                raise self.error
            return super().pilot_seconds(together, steps)

    learner = Short({1: 1e-3, 4: 3e-4, 16: 1e-4, 64: 1e-5, 256: 1e-6})
    assert learner.choice().together == 16
    assert set(learner.choice().rates) == {1, 4, 16}
    learner.error = ValueError("another")
    with pytest.raises(ValueError, match="another"):
        learner.choice()


def test_a_size_larger_than_the_campaign_is_not_tried():
    assert Timed({1: 1e-3, 4: 1e-4, 16: 1e-5}).choice(most=5).together == 4
    assert Timed({1: 1e-3, 4: 1e-4}).choice(most=2) == TogetherChoice(1)
    assert Timed({}).choice() is None


def test_a_choice_is_read_back_as_it_was_written():
    choice = TogetherChoice(4, {1: 2.0, 4: 9.5})
    assert TogetherChoice.decode(choice.encode()) == choice
    assert choice.sentence() == "1x with K = 1, 4.8x with K = 4"


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x):
        return self.layers(x)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(784, 10),
        )

    def forward(self, x):
        return self.layers(x)


def learner(model, features, n=600, **options):
    random = np.random.default_rng(0)
    parts = [random.normal(size=(n, features)).astype(np.float32), random.integers(0, 10, n)]
    data = Dataset("classification", *parts, parts[0][:50], parts[1][:50], tuple("0123456789"))
    return TorchLearner(TorchSpec(model="model.py:Net", batch_size=64, **options), data, model, device="cpu")


def test_a_small_network_trains_together_and_a_small_cnn_is_looped():
    assert pilot(learner(Small, 64), most=1000).together >= 4
    assert pilot(learner(Convolutional, 784), most=1000).together == 1


def test_a_job_that_names_k_leaves_nothing_to_choose():
    assert learner(Small, 64, together=8).pilot_sizes == ()
    assert isinstance(learner(Small, 64), Piloted)
