"""Each option of the torch learner against a plain PyTorch loop, together and looped."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from estimators.seeding import derive_seed, generator
from workers.code_snapshot import snapshot_code
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner_specs import OptimizerSpec, TorchSpec
from workers.learners import make_learner
from workers.learners.torch_functions import UserFunctions
from workers.learners.torch_learner import TorchLearner
from workers.torch_specs import EarlyStoppingSpec

N, FEATURES, CLASSES = 40, 6, 3
EPOCHS, BATCH = 4, 8


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 16), nn.Linear(16, CLASSES)
        self.double()

    def forward(self, x):
        return self.last(torch.relu(self.first(x.double())))


class Text(nn.Module):
    """Attention over tokens, 0 = padding."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 8, padding_idx=0)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, CLASSES)

    def forward(self, x):
        padding = x == 0
        tokens = self.table(x)
        mixed, _ = self.attention(tokens, tokens, tokens, key_padding_mask=padding, need_weights=False)
        kept = self.norm(tokens + mixed) * ~padding.unsqueeze(-1)
        return self.out(kept.sum(1))


def dataset(*, validation=True, integers=False):
    random = np.random.default_rng(3)

    def part(rows):
        X = random.normal(size=(rows, FEATURES)).astype(np.float32)
        y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
        if integers:
            X = random.integers(1, 11, (rows, FEATURES))
            X[:, 3:] *= random.integers(0, 2, (rows, 1))
        return X, y

    train, test, held = part(N), part(12), part(15)
    return Dataset(
        "classification",
        *train,
        *test,
        classes=("a", "b", "c"),
        validation_features=held[0] if validation else None,
        validation_labels=held[1] if validation else None,
    )


def make(together, functions=None, data=None, model=Net, **options):
    spec = TorchSpec(
        model="model.py:Net", epochs=EPOCHS, batch_size=BATCH, **{"optimizer": OptimizerSpec(lr=0.3)} | options
    )
    return TorchLearner(spec, data or dataset(), model, functions=functions, together=together)


def subsets():
    random = np.random.default_rng(0)
    members = np.zeros((4, N), dtype=bool)
    for row, size in zip(members, (40, 17, 0, 25), strict=True):
        row[random.permutation(N)[:size]] = True
    return members, np.array([5, 6, 7, 8], dtype=np.uint64)


def plain(data, members, seed, *, each, clip=None, change=None, patience=None, weigh=None):
    """One retrain as anyone would write it; returns cross-entropies [n_test] and epochs run."""
    with torch.random.fork_rng():
        torch.manual_seed(int(seed))
        net = Net()
    own, random = np.flatnonzero(members), generator("epochs", int(seed))
    X, y = torch.from_numpy(data.train_features), torch.from_numpy(data.train_labels)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    best, kept, waited, step, epochs = np.inf, None, 0, 0, 0
    for _ in range(EPOCHS if len(own) else 0):
        order = own[random.permutation(len(own))]
        for start in range(0, len(own), BATCH):
            batch = order[start : start + BATCH]
            inputs = X[batch]
            if change:
                drawn = torch.Generator().manual_seed(derive_seed("augment", int(seed), step) >> 1)
                inputs = change(inputs, drawn)
            weights = torch.ones(len(batch)) if weigh is None else weigh[y[batch]]
            optimizer.zero_grad()
            ((each(net(inputs), y[batch]) * weights).sum() / weights.sum()).backward()
            if clip:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
            step += 1
        epochs += 1
        if patience:
            with torch.no_grad():
                outputs = net(torch.from_numpy(data.validation_features))
                loss = each(outputs, torch.from_numpy(data.validation_labels)).mean().item()
            waited = 0 if loss < best else waited + 1
            if loss < best:
                best, kept = loss, copy.deepcopy(net.state_dict())
            if waited >= patience:
                break
    if kept:
        net.load_state_dict(kept)
    with torch.no_grad():
        outputs = net(torch.from_numpy(data.test_features))
    return functional.cross_entropy(outputs, torch.from_numpy(data.test_labels), reduction="none").numpy(), epochs


def cross_entropy(outputs, labels):
    return functional.cross_entropy(outputs, labels, reduction="none")


def smoothed(outputs, labels):
    return functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=0.2)


def hinge(outputs, labels):
    return functional.multi_margin_loss(outputs, labels, reduction="none")


def noise(inputs, random):
    return inputs + 0.3 * torch.randn(inputs.shape, generator=random)


WEIGHTS = torch.tensor([2.0, 1.0, 0.25])
OPTIONS = {
    "label smoothing": ({"label_smoothing": 0.2}, None, {"each": smoothed}),
    "clipping": ({"clip_norm": 0.1}, None, {"each": cross_entropy, "clip": 0.1}),
    "class weights": ({"class_weights": {"a": 2.0, "c": 0.25}}, None, {"each": cross_entropy, "weigh": WEIGHTS}),
    "a loss of the user's": ({"loss": "model.py:hinge"}, UserFunctions(loss=hinge), {"each": hinge}),
    "augmentation": ({"augment": "m.py:noise"}, UserFunctions(augment=noise), {"each": cross_entropy, "change": noise}),
    "early stopping": (
        {"early_stopping": EarlyStoppingSpec(patience=1), "optimizer": OptimizerSpec(lr=0.3)},
        None,
        {"each": cross_entropy, "patience": 1},
    ),
    "early stopping on the user's loss": (
        {"early_stopping": EarlyStoppingSpec(patience=1), "loss": "m.py:hinge"},
        UserFunctions(loss=hinge),
        {"each": hinge, "patience": 1},
    ),
}


@pytest.mark.parametrize("together", [3, 1])
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_that_of_a_plain_loop(name, together):
    options, functions, reference = OPTIONS[name]
    data, (members, seeds) = dataset(), subsets()
    losses = make(together, functions, data, **options).retrain(members, seeds).test["cross_entropy"]
    for k, (row, seed) in enumerate(zip(members, seeds, strict=True)):
        expected, _ = plain(data, row, seed, **reference)
        np.testing.assert_allclose(losses[k], expected, rtol=1e-5, atol=1e-6)


def test_early_stopping_stops_some_of_them_early():
    data, (members, seeds) = dataset(), subsets()
    epochs = [plain(data, row, seed, each=hinge, patience=1)[1] for row, seed in zip(members, seeds, strict=True)]
    assert len(set(epochs[:2] + epochs[3:])) > 1 or epochs[0] < EPOCHS, "the example must exercise what it tests"


@pytest.mark.parametrize("name", OPTIONS)
def test_a_row_keeps_its_bits_under_every_option(name):
    options, functions, _ = OPTIONS[name]
    members, seeds = subsets()
    one = make(4, functions, **options).retrain(members, seeds).test["cross_entropy"]
    other = make(2, functions, **options).retrain(members[::-1], seeds[::-1]).test["cross_entropy"]
    np.testing.assert_array_equal(one, other[::-1])


def test_a_loss_of_the_users_may_be_kept_beside_ours():
    functions = UserFunctions(kept={"hinge": hinge})
    members, seeds = subsets()
    for together in (4, 1):
        learner = make(together, functions, losses=("cross_entropy", "model.py:hinge"))
        assert learner.losses == ("cross_entropy", "hinge")
        found = learner.retrain(members, seeds)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            outputs = Net()(torch.from_numpy(dataset().test_features))
        expected = hinge(outputs, torch.from_numpy(dataset().test_labels)).detach()
        np.testing.assert_allclose(found.test["hinge"][2], expected, rtol=1e-5)
        assert found.train["hinge"].shape == (4, N)


def test_tokens_with_a_padding_mask_train_together_as_alone():
    members, seeds = subsets()
    data = dataset(integers=True)
    one = make(4, None, data, Text, precision="float32").retrain(members, seeds).test["cross_entropy"]
    other = make(1, None, data, Text).retrain(members, seeds).test["cross_entropy"]
    np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    assert make(4, None, data, Text).together == 4


class Single(Net):
    def __init__(self):
        super().__init__()
        self.float()

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


def test_bfloat16_moves_losses_by_its_own_roundings_and_is_named():
    members, seeds = subsets()
    for together in (4, 1):
        exact = make(together, None, None, Single).retrain(members, seeds).test["cross_entropy"]
        rough = make(together, None, None, Single, precision="bfloat16")
        found = rough.retrain(members, seeds).test["cross_entropy"]
        assert "bfloat16" in rough.numeric_class
        assert (found != exact).any()
        np.testing.assert_allclose(found, exact, atol=0.1)


def mean_loss(outputs, labels):
    return functional.cross_entropy(outputs, labels)


def shrinking(inputs, random):
    return inputs[:, :2]


REFUSED = {
    "no validation set": ({"early_stopping": EarlyStoppingSpec()}, None, dataset(validation=False), "data.validation"),
    "no such class": ({"class_weights": {"d": 1.0}}, None, None, "no class d; the classes are a, b, c"),
    "smoothing of another loss": ({"loss": "m:h", "label_smoothing": 0.1}, UserFunctions(loss=hinge), None, "leave it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_do_not_fit_are_refused_with_the_mend(name):
    options, functions, data, message = REFUSED[name]
    with pytest.raises(LearnerError, match=message):
        make(4, functions, data, **options)


@pytest.mark.parametrize("together", [4, 1])
@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (UserFunctions(loss=mean_loss), r"mean_loss returns shape \[\] for \d+ instances; wanted floats"),
        (UserFunctions(augment=shrinking), r"shrinking returns torch.float32 \[\d, 2\] for inputs"),
    ],
)
def test_functions_that_return_something_else_are_named(functions, message, together):
    with pytest.raises(LearnerError, match=message):
        make(together, functions).retrain(*subsets())


@pytest.mark.parametrize(("key", "options"), [("loss", {}), ("augment", {}), ("losses", {"losses": ("m.py:boom",)})])
def test_functions_that_raise_are_named_with_their_line(key, options, tmp_path):
    (tmp_path / "m.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(6, 3)\n"
        "def boom(*arguments):\n    raise ValueError('it blew up')\n"
    )
    given = options or {key: "m.py:boom"}
    spec = TorchSpec(model="m.py:Net", epochs=1, together=4, **given)
    code = snapshot_code(tmp_path, spec.model)
    with pytest.raises(LearnerError, match=rf"learner.{key}: m.py:boom fails: ValueError: it blew up .*m.py:6"):
        make_learner(spec, dataset(), code).retrain(*subsets())


def test_early_stopping_goes_on_from_a_state_in_its_middle_with_the_same_bits():
    learner = make(4, None, early_stopping=EarlyStoppingSpec(patience=1))
    members, seeds = subsets()
    trainer = learner._trainer
    whole, begun, other = trainer.trained(members, seeds), trainer.fresh(seeds), trainer.fresh(seeds)
    trainer.training(begun, members, seeds).run(until=7)
    other.restore(begun.tensors())
    trainer.training(other, members, seeds).run()
    assert torch.equal(other.flat, whole.flat)
