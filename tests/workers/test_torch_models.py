"""Which models train together, which are looped and why, and which are refused with what words."""

import os

import numpy as np
import pytest
import torch
from torch import nn

from estimators.seeding import generator
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner_specs import OptimizerSpec, ScheduleSpec, TorchSpec
from workers.learners.torch_learner import TorchLearner

N, FEATURES, CLASSES = 40, 6, 3


def data(dtype=np.float32):
    random = np.random.default_rng(0)
    return Dataset(
        task="classification",
        train_features=(random.normal(size=(N, FEATURES)) * 3).astype(dtype),
        train_labels=random.integers(0, CLASSES, N),
        test_features=(random.normal(size=(7, FEATURES)) * 3).astype(dtype),
        test_labels=random.integers(0, CLASSES, 7),
        classes=("a", "b", "c"),
    )


def learner(model, dataset=None, **options):
    job = TorchSpec(model="model.py:Net", **{"epochs": 2, "batch_size": 8, "together": 4, **options})
    return TorchLearner(job, dataset or data(), model)


def layers(*parts):
    """A model class that is these layers, freshly made."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(*(part() for part in parts))

        def forward(self, x):
            return self.body(x)

    return Net


def first():
    return nn.Linear(FEATURES, 8)


def last():
    return nn.Linear(8, CLASSES)


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.out(x) if x.abs().sum() > 0 else -self.out(x)


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.calls += 1
        return self.out(x)


class Centred(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.out(x - x.mean(0) if self.training else x)


class Hidden(nn.Module):
    """Keeps a random tensor that is no buffer: each model's own."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)
        self.mixing = [torch.randn(FEATURES, FEATURES)]

    def forward(self, x):
        return self.out(x @ self.mixing[0])


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.out(nn.functional.dropout(x, 0.5, self.training))


class Fixed(nn.Module):
    def forward(self, x):
        return x[:, :CLASSES]


LOOPED = {
    "batch normalisation": (layers(first, lambda: nn.BatchNorm1d(8), last), "GroupNorm or LayerNorm in its place"),
    "a function that drops out": (Noisy, "nn.Dropout layers train together"),
    "control flow on data": (Branch, "vmap cannot batch"),
    "buffers that change": (Counter, "changes the model's buffers"),
    "rows that mix": (Centred, "other instances of its batch"),
    "tensors that are no buffers": (Hidden, "no buffers"),
    "nothing to train": (Fixed, "no trained parameters"),
}


@pytest.mark.parametrize("name", LOOPED)
def test_a_model_that_cannot_be_batched_is_looped_with_the_reason_and_keeps_the_law(name):
    model, reason = LOOPED[name]
    looped = learner(model)
    assert looped.together == 1
    assert not looped.traits.together
    assert reason in looped.traits.reason
    members = np.random.default_rng(1).random((3, N)) < 0.5
    seeds = np.array([3, 4, 5], dtype=np.uint64)
    losses = looped.retrain(members, seeds)
    again = looped.retrain(members[1:2], seeds[1:2])
    np.testing.assert_array_equal(losses.test["cross_entropy"][1:2], again.test["cross_entropy"])


@pytest.mark.parametrize("model", [layers(first, nn.Dropout, last), Noisy])
def test_dropout_is_drawn_from_the_retrains_seed(model):
    dropped = learner(model)
    members = np.ones((3, N), dtype=bool)
    losses = dropped.retrain(members, np.array([3, 4, 3], dtype=np.uint64)).test["cross_entropy"]
    np.testing.assert_array_equal(losses[0], losses[2])
    assert (losses[0] != losses[1]).any()


@pytest.mark.parametrize("size", [17, 16, 9, 1])
def test_batch_normalisation_leaves_out_a_last_batch_of_a_single_instance(size):
    model = layers(first, lambda: nn.BatchNorm1d(8), last)
    dataset = data()
    members = (np.arange(N) < size)[None]
    losses = learner(model, optimizer=OptimizerSpec(lr=0.05)).retrain(members, np.array([11], np.uint64))
    with torch.random.fork_rng():
        torch.manual_seed(11)
        net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    features, labels = torch.from_numpy(dataset.train_features), torch.from_numpy(dataset.train_labels)
    random = generator("epochs", 11)
    for _ in range(2):
        order = random.permutation(size)
        for batch in (order[start : start + 8] for start in range(0, size, 8)):
            if len(batch) > 1:
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(features[batch]), labels[batch]).backward()
                optimizer.step()
    outputs = net.eval()(torch.from_numpy(dataset.test_features))
    expected = nn.functional.cross_entropy(outputs, torch.from_numpy(dataset.test_labels), reduction="none").detach()
    np.testing.assert_allclose(losses.test["cross_entropy"][0], expected, rtol=1e-5, atol=1e-6)


def test_evaluation_does_not_drop_out():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.out = nn.Dropout(0.5), nn.Linear(FEATURES, CLASSES)

        def forward(self, x):
            return self.out(self.drop(x))

    dataset = data()
    losses = learner(Net).retrain(np.zeros((1, N), bool), np.array([2], np.uint64)).test["cross_entropy"]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        net = Net().eval()
    outputs = net(torch.from_numpy(dataset.test_features))
    expected = nn.functional.cross_entropy(outputs, torch.from_numpy(dataset.test_labels), reduction="none").detach()
    np.testing.assert_allclose(losses[0], expected, rtol=1e-5)


def test_convolutions_are_looped_on_a_cpu_unless_an_integer_asks_otherwise():
    model = layers(lambda: nn.Unflatten(1, (1, 2, 3)), lambda: nn.Conv2d(1, 4, 2), nn.Flatten, last)
    auto = TorchLearner(TorchSpec(model="m.py:Net"), data(), model, device="cpu")
    assert (auto.together, "convolutions" in auto.traits.reason) == (1, True)
    assert learner(model).together == 4


def test_lazy_layers_take_their_shapes_from_the_data_and_their_numbers_from_the_seed():
    lazy = learner(layers(lambda: nn.LazyLinear(8), nn.Tanh, last))
    assert lazy.together == 4
    losses = lazy.retrain(np.zeros((2, N), bool), np.array([1, 2], np.uint64)).test["cross_entropy"]
    assert (losses[0] != losses[1]).all()


def test_shared_parameters_stay_one_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(FEATURES, FEATURES)
            self.two = nn.Linear(FEATURES, FEATURES)
            self.two.weight = self.one.weight
            self.out = nn.Linear(FEATURES, CLASSES)

        def forward(self, x):
            return self.out(torch.tanh(self.two(torch.tanh(self.one(x)))))

    members, seeds = np.random.default_rng(0).random((4, N)) < 0.6, np.arange(4, dtype=np.uint64)
    together, looped = learner(Tied), learner(Tied, together=1)
    assert together.together == 4
    one, other = together.retrain(members, seeds), looped.retrain(members, seeds)
    np.testing.assert_allclose(one.test["cross_entropy"], other.test["cross_entropy"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.bool_])
def test_whole_numbers_reach_the_network_as_int64(dtype):
    seen = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(FEATURES, CLASSES)

        def forward(self, x):
            seen.append(x.dtype)
            return self.out(x.float())

    for together in (4, 1):
        learner(Net, data(dtype), together=together).retrain(np.ones((1, N), bool), np.array([1], np.uint64))
    assert {each for each in seen if isinstance(each, torch.dtype)} == {torch.int64}  # others: the tracer's stand-ins


class Unseeded(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)
        noise = np.frombuffer(os.urandom(CLASSES), dtype=np.uint8).astype(np.float32)
        self.bias = nn.Parameter(torch.from_numpy(noise))

    def forward(self, x):
        return self.out(x) + self.bias


class Wanting(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.out = nn.Linear(FEATURES, hidden)

    def forward(self, x):
        return self.out(x)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.out(x), x


class Ending(nn.Linear):
    def __init__(self):
        super().__init__(6, 3)

    def forward(self, x):
        raise SystemExit(3)


REFUSED = {
    "a model that ends the program": (Ending, {}, ["model.py:Net ends the program", "sys.exit(3)", "raise"]),
    "wrong number of classes": (layers(first), {}, ["[16, 8]", "[16, 3]", "model.py:Net"]),
    "wrong input": (layers(last), {}, ["[16, 6] of float32", "RuntimeError"]),
    "no tensor": (Pair, {}, ["a tuple", "[16, 3]"]),
    "missing argument": (Wanting, {}, ["hidden", "learner.arguments"]),
    "misspelt argument": (Wanting, {"arguments": {"hiden": 3}}, ["did you mean 'hidden'"]),
    "parameters without seed": (Unseeded, {}, ["bias", "torch's random functions"]),
    "a function": (lambda: nn.Linear(2, 2), {}, ["function", "nn.Module"]),
    "an instance": (nn.Linear(2, 2), {}, ["not an instance"]),
    "another class": (dict, {}, ["class dict"]),
    "a loss of another task": (layers(first, last), {"losses": ("squared_error",)}, ["squared_error", "zero_one"]),
    "momentum of adam": (
        layers(first, last),
        {"optimizer": OptimizerSpec(name="adam", momentum=0.9)},
        ["adam does not read momentum", "take sgd"],
    ),
    "betas of sgd": (
        layers(first, last),
        {"optimizer": OptimizerSpec(betas=(0.5, 0.9))},
        ["sgd does not read betas", "adam or adamw"],
    ),
    "a fall of a cosine": (
        layers(first, last),
        {"schedule": ScheduleSpec(name="cosine", gamma=0.5)},
        ["cosine does not read gamma", "take step"],
    ),
    "nesterov without momentum": (
        layers(first, last),
        {"optimizer": OptimizerSpec(nesterov=True)},
        ["nesterov", "momentum"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_does_not_fit_is_refused_with_what_was_seen_and_wanted(name):
    model, options, wanted = REFUSED[name]
    with pytest.raises(LearnerError) as caught:
        learner(model, **options)
    for part in wanted:
        assert part in str(caught.value)


def test_whole_numbers_into_a_linear_layer_are_explained():
    with pytest.raises(LearnerError, match=r"x\.float\(\)"):
        learner(layers(first, last), data(np.int64))


def test_an_error_in_forward_names_the_users_line():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(FEATURES, CLASSES)

        def forward(self, x):
            return self.out(x)[:, 99]

    with pytest.raises(LearnerError, match=r"test_torch_models\.py:\d+: return self\.out\(x\)\[:, 99\]"):
        learner(Net)


def test_features_that_are_no_numbers_and_a_single_class_are_refused():
    words = Dataset(
        task="classification",
        train_features=np.array([["a"], ["b"]]),
        train_labels=np.array([0, 1]),
        test_features=np.array([["a"]]),
        test_labels=np.array([0]),
        classes=("x", "y"),
    )
    with pytest.raises(LearnerError, match="no numbers"):
        learner(layers(first, last), words)
    with pytest.raises(LearnerError, match="two classes"):
        TorchLearner(TorchSpec(model="m.py:Net"), Dataset("classification", *([np.zeros(2)] * 4), ("x",)), Branch)


@pytest.mark.parametrize(("members", "seeds"), [((2, N + 1), 2), ((2, N), 3), ((N,), 1)])
def test_members_of_another_shape_are_refused(members, seeds):
    with pytest.raises(LearnerError, match="do not fit"):
        learner(layers(first, last)).retrain(np.ones(members, bool), np.zeros(seeds, np.uint64))


class Planar(nn.Module):
    def __init__(self, view=False):
        super().__init__()
        self.view = view
        self.conv, self.out = nn.Conv2d(1, 4, 2), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = torch.relu(self.conv(x.view(-1, 1, 2, 3)))
        return self.out(x.view(len(x), -1) if self.view else x.flatten(1))


def test_looped_convolutions_run_with_channels_innermost_where_the_model_allows_it():
    losses = []
    for view in (False, True):
        looped = learner(Planar, arguments={"view": view}, together=1)
        assert looped._setting.channels_last == (not view)
        found = looped.retrain(np.ones((1, N), bool), np.array([4], np.uint64))
        losses.append(found.test["cross_entropy"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
