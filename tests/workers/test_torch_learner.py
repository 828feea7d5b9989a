"""The torch learner against a plain PyTorch loop, and the laws of a row."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from estimators.seeding import generator
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner_specs import OptimizerSpec, ScheduleSpec, TorchSpec
from workers.learners.torch_chain_model import ChainModel
from workers.learners.torch_dropout import keep_mask, step_keys
from workers.learners.torch_learner import TorchLearner

N, N_TEST, FEATURES, CLASSES = 50, 13, 9, 3


class Net(nn.Module):
    def __init__(self, hidden=7, out=CLASSES, double=False):
        super().__init__()
        self.first = nn.Linear(FEATURES, hidden)
        self.second = nn.Linear(hidden, out)
        if double:
            self.double()

    def forward(self, x):
        return self.second(torch.tanh(self.first(x.to(self.first.weight.dtype))))


class Normed(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(7)

    def forward(self, x):
        return self.second(functional.gelu(self.norm(self.first(x))))


class Raw(nn.Module):
    """No layers, products written by hand, a buffer drawn at random and a frozen parameter."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(FEATURES, CLASSES))
        self.register_buffer("projection", torch.randn(FEATURES, FEATURES))
        self.scale = nn.Parameter(torch.rand(FEATURES), requires_grad=False)

    def forward(self, x):
        return torch.sigmoid(x @ self.projection * self.scale) @ self.weight


class Bag(nn.Module):
    """Whole numbers with padding 0, and a tied use of one table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 6, padding_idx=0)
        self.out = nn.Linear(6, CLASSES)

    def forward(self, x):
        mask = (x != 0).unsqueeze(-1)
        return self.out(functional.relu((self.table(x) * mask).sum(1)))


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 2)
        self.out = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.out(functional.relu(self.conv(x.view(-1, 1, 3, 3))).flatten(1))


class Line(nn.Module):
    def __init__(self, flat=True):
        super().__init__()
        self.flat, self.out = flat, nn.Linear(FEATURES, 1)

    def forward(self, x):
        return self.out(x).squeeze(-1) if self.flat else self.out(x)


class Chained(nn.Module):
    """Every layer that is written by hand, in one chain."""

    def __init__(self, activation="GELU", groups=0):
        super().__init__()
        self.first = nn.Linear(FEATURES, 12)
        self.norm = nn.GroupNorm(groups, 12) if groups else nn.LayerNorm(12)
        self.activation = getattr(nn, activation)()
        self.dropout = nn.Dropout(0.4)
        self.second = nn.Linear(12, 10, bias=False)
        self.last = nn.Linear(10, CLASSES)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        x = self.dropout(self.activation(self.norm(self.first(x.view(x.size(0), -1)))))
        return self.last(self.drop(functional.relu(self.second(x))))


class Branched(Chained):
    """The same with a connection around a layer, which vmap has to carry."""

    def forward(self, x):
        x = functional.relu(self.first(x))
        return self.last(self.drop(self.second(x + self.dropout(self.norm(x)))))


def classification(*, integers=False, order=None, weights=None):
    random = np.random.default_rng(3)
    shape = [(N, FEATURES), (N_TEST, FEATURES)]
    train, test = (
        random.integers(0, 11, size) if integers else random.normal(size=size).astype(np.float32) for size in shape
    )
    return Dataset(
        task="classification",
        train_features=train,
        train_labels=random.integers(0, CLASSES, N),
        test_features=test,
        test_labels=random.integers(0, CLASSES, N_TEST),
        classes=("a", "b", "c"),
        weights=weights,
        order=order,
    )


def regression():
    random = np.random.default_rng(4)
    return Dataset(
        task="regression",
        train_features=random.normal(size=(N, FEATURES)),
        train_labels=random.normal(size=N),
        test_features=random.normal(size=(N_TEST, FEATURES)),
        test_labels=random.normal(size=N_TEST),
    )


def spec(**options):
    return TorchSpec(model="model.py:Net", **{"epochs": 3, "batch_size": 8, "together": 4, **options})


def subsets(sizes, seed=0):
    """Members of the sizes given, and seeds."""
    random = np.random.default_rng(seed)
    members = np.zeros((len(sizes), N), dtype=bool)
    for row, size in zip(members, sizes, strict=True):
        row[random.permutation(N)[:size]] = True
    return members, random.integers(0, 2**64, len(sizes), dtype=np.uint64)


def plain_loop(model_class, arguments, data, members, seed, options, optimizer, schedule=None):
    """One retrain as anyone would write it; returns cross-entropies [n_test]."""
    with torch.random.fork_rng():
        torch.manual_seed(int(seed))
        net = model_class(**arguments)
    order = np.arange(N) if data.order is None else data.order
    own = order[members[order]]
    features, labels = torch.from_numpy(data.train_features), torch.from_numpy(data.train_labels)
    optimizer = optimizer([p for p in net.parameters() if p.requires_grad])
    steps = -(-len(own) // options.batch_size)
    schedule = schedule(optimizer, steps) if schedule else None
    random = generator("epochs", int(seed))
    for _ in range(options.epochs):
        shuffled = own[random.permutation(len(own))]
        for start in range(0, len(own), options.batch_size):
            batch = shuffled[start : start + options.batch_size]
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(features[batch]), labels[batch], reduction="none")
            weights = torch.ones(len(batch)) if data.weights is None else torch.from_numpy(data.weights[batch])
            ((loss * weights).sum() / weights.sum()).backward()
            optimizer.step()
            if schedule:
                schedule.step()
    with torch.no_grad():
        outputs = net.eval()(torch.from_numpy(data.test_features))
        return functional.cross_entropy(outputs, torch.from_numpy(data.test_labels), reduction="none").numpy()


OPTIMIZERS = {
    "sgd": ({"lr": 0.3}, lambda p: torch.optim.SGD(p, lr=0.3)),
    "sgd, weight decay": ({"lr": 0.3, "weight_decay": 0.05}, lambda p: torch.optim.SGD(p, lr=0.3, weight_decay=0.05)),
    "momentum": (
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    ),
    "nesterov": (
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01),
    ),
    "adam": (
        {"name": "adam", "lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-6},
        lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.99), eps=1e-6),
    ),
    "adam, weight decay": (
        {"name": "adam", "lr": 0.02, "weight_decay": 0.1},
        lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.1),
    ),
    "adamw": (
        {"name": "adamw", "lr": 0.02, "weight_decay": 0.3},
        lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize("together", [4, 1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_pytorchs_own_on_subsets_of_any_size(name, together):
    options, reference = OPTIMIZERS[name]
    data, job = (
        classification(),
        spec(optimizer=OptimizerSpec(**options), arguments={"double": True}, together=together),
    )
    members, seeds = subsets([50, 33, 8, 7, 1, 24])
    losses = TorchLearner(job, data, Net).retrain(members, seeds)
    for k, (row, seed) in enumerate(zip(members, seeds, strict=True)):
        expected = plain_loop(Net, {"double": True}, data, row, seed, job, reference)
        np.testing.assert_allclose(losses.test["cross_entropy"][k], expected, rtol=1e-5, atol=1e-6)


def test_in_single_precision_too_the_plain_loop_is_met_to_rounding():
    data, job = classification(), spec(optimizer=OptimizerSpec(lr=0.2, momentum=0.9))
    members, seeds = subsets([50, 20, 9])
    losses = TorchLearner(job, data, Net).retrain(members, seeds)
    for k, (row, seed) in enumerate(zip(members, seeds, strict=True)):
        expected = plain_loop(Net, {}, data, row, seed, job, lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9))
        np.testing.assert_allclose(losses.test["cross_entropy"][k], expected, rtol=1e-4, atol=1e-5)


scheduler = torch.optim.lr_scheduler
SCHEDULES = {
    "linear": (
        ScheduleSpec(name="linear"),
        lambda o, steps: scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=3 * steps),
    ),
    "cosine": (ScheduleSpec(name="cosine"), lambda o, steps: scheduler.CosineAnnealingLR(o, T_max=3 * steps)),
    "step": (
        ScheduleSpec(name="step", every=2, gamma=0.3),
        lambda o, steps: scheduler.StepLR(o, step_size=2 * steps, gamma=0.3),
    ),
    "warmup": (
        ScheduleSpec(warmup=0.5),
        lambda o, steps: scheduler.LambdaLR(o, lambda t: min(1.0, (t + 1) / (-(-3 * steps // 2) + 1))),
    ),
}


@pytest.mark.parametrize("together", [4, 1])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_pytorchs_own_over_each_retrains_own_steps(name, together):
    schedule, reference = SCHEDULES[name]
    optimizer = OptimizerSpec(lr=0.4, momentum=0.5)
    job = spec(schedule=schedule, optimizer=optimizer, arguments={"double": True}, together=together)
    data = classification()
    members, seeds = subsets([50, 17, 30])
    losses = TorchLearner(job, data, Net).retrain(members, seeds)
    for k, (row, seed) in enumerate(zip(members, seeds, strict=True)):
        expected = plain_loop(
            Net, {"double": True}, data, row, seed, job, lambda p: torch.optim.SGD(p, lr=0.4, momentum=0.5), reference
        )
        np.testing.assert_allclose(losses.test["cross_entropy"][k], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("together", [4, 1])
def test_instance_weights_weigh_the_mean_of_each_batch(together):
    weights = np.random.default_rng(0).random(N) * 3
    weights[::7] = 0
    data, job = classification(weights=weights), spec(arguments={"double": True}, together=together)
    members, seeds = subsets([50, 21])
    losses = TorchLearner(job, data, Net).retrain(members, seeds)
    for k, (row, seed) in enumerate(zip(members, seeds, strict=True)):
        expected = plain_loop(Net, {"double": True}, data, row, seed, job, lambda p: torch.optim.SGD(p, lr=0.1))
        np.testing.assert_allclose(losses.test["cross_entropy"][k], expected, rtol=1e-5, atol=1e-6)


ACTIVATIONS = ["ReLU", "GELU", "SiLU", "Sigmoid", "LeakyReLU", "ELU", "Softplus"]
MODELS = {
    "linear": (Net, classification, {}),
    "wide": (Net, classification, {"hidden": 33}),
    "LayerNorm and GELU": (Normed, classification, {}),
    "products by hand, sigmoid, buffers": (Raw, classification, {}),
    "embedding": (Bag, lambda: classification(integers=True), {}),
    "regression": (Line, regression, {}),
    "regression as a column": (Line, regression, {"flat": False}),
    "convolution": (Conv, classification, {}),
    "dropout around a layer": (Branched, classification, {}),
    "groups": (Chained, classification, {"activation": "Tanh", "groups": 3}),
    **{name: (Chained, classification, {"activation": name}) for name in ACTIVATIONS},
}
BY_HAND = ["linear", "wide", "regression", "regression as a column", "groups", *ACTIVATIONS, "LayerNorm and GELU"]


@pytest.mark.parametrize("name", MODELS)
def test_chains_of_known_layers_are_run_by_hand_and_others_through_vmap(name):
    model, data, arguments = MODELS[name]
    learner = TorchLearner(spec(arguments=arguments), data(), model)
    assert isinstance(learner._report.stacked, ChainModel) == (name in BY_HAND)


@pytest.mark.parametrize("name", MODELS)
def test_together_and_looped_give_the_same_losses_to_rounding(name):
    model, data, arguments = MODELS[name]
    job = spec(arguments=arguments, optimizer=OptimizerSpec(name="adamw", lr=0.01, weight_decay=0.1))
    learner = TorchLearner(job, data(), model)
    looped = TorchLearner(job, data(), model, together=1)
    assert (learner.together, looped.together) == (4, 1)
    assert learner.traits.together
    assert not looped.traits.together
    members, seeds = subsets([50, 0, 33, 16, 7])
    one, other = learner.retrain(members, seeds), looped.retrain(members, seeds)
    for kept in learner.losses:
        np.testing.assert_allclose(one.test[kept], other.test[kept], rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(one.train[kept], other.train[kept], rtol=2e-4, atol=2e-5)
    assert np.ptp(one.test[learner.losses[0]], axis=0).min() > 1e-4


def bits(losses):
    """Each row's losses as whole numbers."""
    parts = [*losses.test.values(), *losses.train.values()]
    return np.concatenate([part.view(np.int32) for part in parts], axis=1)


BITWISE = [name for name in MODELS if name != "convolution"]


@pytest.mark.parametrize("name", BITWISE)
@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])
@given(drawn=st.data())
def test_a_row_has_the_same_bits_for_any_k_place_neighbours_and_split(name, drawn):
    model, data, arguments = MODELS[name]
    optimizer = drawn.draw(st.sampled_from(sorted(OPTIMIZERS)))
    batch = drawn.draw(st.sampled_from([1, 5, 16, 40, 99]))
    ks = drawn.draw(st.lists(st.integers(2, 9), min_size=2, max_size=2, unique=True))
    sizes = drawn.draw(st.lists(st.integers(0, N), min_size=2, max_size=11))
    job = spec(arguments=arguments, optimizer=OptimizerSpec(**OPTIMIZERS[optimizer][0]), batch_size=batch, epochs=2)
    members, seeds = subsets(sizes, seed=len(sizes))
    learners = [TorchLearner(job, data(), model, together=k) for k in ks]
    expected = bits(learners[0].retrain(members, seeds))
    order = np.array(drawn.draw(st.permutations(range(len(sizes)))))
    cut = drawn.draw(st.integers(1, len(sizes) - 1))
    for part in (order[:cut], order[cut:]):
        np.testing.assert_array_equal(bits(learners[1].retrain(members[part], seeds[part])), expected[part])
    assert len({learner.numeric_class for learner in learners}) == 1


def test_dropout_keeps_each_element_with_its_probability_and_independently():
    """Counts over elements, steps and pairs lie within 4.5 standard errors (false alarm 1 in 10,000 in all)."""
    places = torch.arange(4000, dtype=torch.int32)
    keys = torch.from_numpy(step_keys(np.arange(20, dtype=np.uint64), 0, 5, 10)).reshape(-1, 1)
    kept = keep_mask(places, keys, 0.3).double().numpy()
    pairs = (kept[:, 1:] * kept[:, :-1], kept[1:] * kept[:-1], kept[20:] * kept[:-20])
    for found, share in ((kept, 0.7), *((pair, 0.49) for pair in pairs)):
        # neighbouring pairs share an element: their mean's variance is at most 3 times that of independent ones
        assert abs(found.mean() - share) < 4.5 * np.sqrt(3 * share * (1 - share) / found.size)
    assert abs(kept.mean(axis=0) - 0.7).max() < 5.5 * np.sqrt(0.21 / len(kept))


def test_a_state_taken_in_the_middle_goes_on_with_the_same_bits():
    data, job = (
        classification(),
        spec(optimizer=OptimizerSpec(name="adam", lr=0.01), schedule=ScheduleSpec(name="cosine")),
    )
    trainer = TorchLearner(job, data, Branched)._trainer
    members, seeds = subsets([50, 0, 9, 33])
    whole = trainer.trained(members, seeds)
    begun = trainer.fresh(seeds)
    trainer.training(begun, members, seeds).run(until=11)
    other = trainer.fresh(seeds)
    other.restore(begun.tensors())
    assert (other.step, other.done.tolist()) == (11, [False, True, True, False])
    trainer.training(other, members, seeds).run()
    assert torch.equal(other.flat, whole.flat)


def test_a_convolution_keeps_its_bits_for_one_k_and_names_k_where_it_fixes_them():
    job = spec(together=4)
    learner = TorchLearner(job, classification(), Conv)
    members, seeds = subsets([50, 20, 33, 7, 41, 12])
    expected = bits(learner.retrain(members, seeds))
    order = np.array([4, 2, 0, 5, 3, 1])
    np.testing.assert_array_equal(bits(learner.retrain(members[order], seeds[order])), expected[order])
    np.testing.assert_array_equal(bits(learner.retrain(members[3:4], seeds[3:4])), expected[3:4])
    other = TorchLearner(job, classification(), Conv, together=3)
    differs = (bits(other.retrain(members, seeds)) != expected).any()
    assert ("K = 4" in learner.numeric_class) or not differs


def test_a_row_does_not_depend_on_the_order_of_the_training_file():
    data, job = classification(order=np.random.default_rng(1).permutation(N)), spec()
    place = np.random.default_rng(2).permutation(N)
    where = np.argsort(place)
    moved = dataclasses.replace(
        data,
        train_features=data.train_features[place],
        train_labels=data.train_labels[place],
        order=where[data.order],
    )
    members, seeds = subsets([50, 20])
    one = TorchLearner(job, data, Net).retrain(members, seeds)
    other = TorchLearner(job, moved, Net).retrain(members[:, place], seeds)
    np.testing.assert_array_equal(one.test["cross_entropy"], other.test["cross_entropy"])
    # the model is the same in every bit; an instance's own loss may round by its place in a block of evaluation
    np.testing.assert_allclose(one.train["cross_entropy"][:, place], other.train["cross_entropy"], rtol=1e-5)


@pytest.mark.parametrize("together", [4, 1])
def test_instances_outside_the_subset_do_not_touch_a_bit_even_as_nan(together):
    data, job = classification(), spec(together=together)
    members, seeds = subsets([20, 20])
    members[1] = members[0]
    features = data.train_features.copy()
    features[~members[0]] = np.nan
    poisoned = dataclasses.replace(data, train_features=features)
    one = TorchLearner(job, data, Net).retrain(members, seeds)
    other = TorchLearner(job, poisoned, Net).retrain(members, seeds)
    np.testing.assert_array_equal(one.test["cross_entropy"], other.test["cross_entropy"])


@pytest.mark.parametrize("together", [4, 1])
def test_the_empty_subset_is_the_untrained_model_of_its_seed(together):
    data = classification()
    losses = TorchLearner(spec(together=together), data, Net).retrain(np.zeros((1, N), bool), np.array([9], np.uint64))
    with torch.random.fork_rng():
        torch.manual_seed(9)
        net = Net()
    with torch.no_grad():
        outputs = net(torch.from_numpy(data.test_features))
    expected = functional.cross_entropy(outputs, torch.from_numpy(data.test_labels), reduction="none")
    np.testing.assert_allclose(losses.test["cross_entropy"][0], expected, rtol=1e-5)


@pytest.mark.parametrize("together", [4, 1])
def test_training_leaves_pytorchs_random_numbers_as_they_were(together):
    learner = TorchLearner(spec(together=together), classification(), Net)
    before = torch.get_rng_state()
    learner.retrain(*subsets([20, 10]))
    assert torch.equal(before, torch.get_rng_state())


def test_the_losses_kept_are_those_asked_for_by_their_definitions():
    data = classification()
    job = spec(losses=("margin", "cross_entropy", "zero_one"))
    learner = TorchLearner(job, data, Net)
    members, seeds = subsets([0])
    losses = learner.retrain(members, seeds).test
    with torch.random.fork_rng():
        torch.manual_seed(int(seeds[0]))
        logits = Net()(torch.from_numpy(data.test_features)).detach().numpy().astype(np.float64)
    own = logits[np.arange(N_TEST), data.test_labels]
    others = np.where(np.arange(CLASSES) == data.test_labels[:, None], -np.inf, logits).max(axis=1)
    assert list(losses) == ["margin", "cross_entropy", "zero_one"]
    np.testing.assert_allclose(losses["margin"][0], others - own, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(losses["cross_entropy"][0], np.log(np.exp(logits).sum(1)) - own, rtol=1e-5)
    np.testing.assert_array_equal(losses["zero_one"][0], (logits.argmax(1) != data.test_labels).astype(np.float32))
    assert all(values.dtype == np.float32 for values in losses.values())


def test_regression_keeps_squared_errors_and_absolute_errors():
    learner = TorchLearner(spec(losses=("squared_error", "absolute_error")), regression(), Line)
    losses = learner.retrain(*subsets([30, 50])).test
    np.testing.assert_allclose(losses["squared_error"], losses["absolute_error"] ** 2, rtol=1e-5)


def test_training_losses_are_left_out_where_they_are_not_asked_for():
    assert TorchLearner(spec(train_losses=False), classification(), Net).retrain(*subsets([30])).train is None


def test_a_loss_that_is_no_number_stays_none_in_every_loss_kept():
    data = classification()
    data.test_features[5] = np.nan
    losses = TorchLearner(spec(losses=("cross_entropy", "zero_one", "margin")), data, Net).retrain(*subsets([50])).test
    for values in losses.values():
        np.testing.assert_array_equal(np.isnan(values), np.arange(N_TEST)[None] == 5)


def test_another_k_shares_the_learner_and_keeps_its_rows():
    learner = TorchLearner(spec(together=8), classification(), Net)
    members, seeds = subsets([50, 20, 33])
    halved = learner.with_together(4)
    assert (learner.together, halved.together) == (8, 4)
    np.testing.assert_array_equal(bits(halved.retrain(members, seeds)), bits(learner.retrain(members, seeds)))
    with pytest.raises(LearnerError, match="1 or more"):
        learner.with_together(0)


def test_no_retrains_are_no_rows():
    losses = TorchLearner(spec(), classification(), Net).retrain(np.zeros((0, N), bool), np.zeros(0, np.uint64))
    assert losses.test["zero_one"].shape == (0, N_TEST)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", MODELS)
def test_on_a_gpu_the_losses_are_those_of_the_cpu_to_rounding(name):
    model, data, arguments = MODELS[name]
    job = spec(arguments=arguments)
    members, seeds = subsets([50, 0, 33, 7])
    one = TorchLearner(job, data(), model, device="cpu").retrain(members, seeds)
    other = TorchLearner(job, data(), model, device="cuda").retrain(members, seeds)
    for kept, values in one.test.items():
        np.testing.assert_allclose(values, other.test[kept], rtol=5e-3, atol=5e-4)
