"""Modules that people bring: what is not one of our forms goes through the model, and is right all the same."""

import pytest
import torch
from gradient_models import case
from oracles import gradients as oracle
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from estimators.errors import EstimatorError
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.source import gradient_source

EXACT = {"rtol": 1e-9, "atol": 1e-11}


class Encoder(nn.Module):
    """A transformer's encoder layer, whose evaluation has a fast path of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.position = nn.Parameter(0.1 * torch.randn(6, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.1)
        self.head = nn.Linear(8, 7)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.block(self.embed(ids) + self.position).mean(dim=1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.cell = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, 7)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cell(self.embed(ids))[1][0])


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(7, 5, mode="mean")
        self.head = nn.Linear(5, 7)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.bag(ids)))


class Residual(nn.Module):
    """Skips, transposed convolution, instance and root-mean-square normalisation, reflecting padding, a PReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.act = nn.PReLU()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 4, 1))
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.last = nn.RMSNorm(3)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        return self.head(self.last(self.up(x + self.body(x)).mean(dim=(2, 3))))


class Shared(nn.Module):
    """One module twice, one weight in two layers, one parametrised by its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(5, 5), nn.Linear(5, 5)
        self.other.weight = self.one.weight
        self.normed = parametrizations.weight_norm(nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.normed(torch.tanh(self.other(torch.tanh(self.one(torch.tanh(self.one(x)))))))


def tokens(n: int, seed: int) -> Instances:
    generator = torch.Generator().manual_seed(seed)
    return Instances(torch.randint(7, (n, 6), generator=generator), torch.randint(7, (n,), generator=generator))


def images(n: int, seed: int) -> Instances:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 2, 6, 6, generator=generator, dtype=torch.float64)
    return Instances(features, torch.randint(3, (n,), generator=generator))


def rows(n: int, seed: int) -> Instances:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    return Instances(features, torch.randint(3, (n,), generator=generator))


MODELS = {
    "encoder": (Encoder, tokens),
    "recurrent": (Recurrent, tokens),
    "bag": (Bag, tokens),
    "residual": (Residual, images),
    "shared": (Shared, rows),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_any_module_are_autograds(name: str) -> None:
    make, data = MODELS[name]
    torch.manual_seed(0)
    objective = Objective(make().double().eval(), CrossEntropy())
    train, test = data(7, 1), data(3, 2)
    source = gradient_source(objective, train)
    assert source.layout.size == sum(parameter.numel() for parameter in objective.module.parameters())
    exact, exact_test = (oracle.rows(objective, source.layout, each) for each in (train, test))
    torch.testing.assert_close(source.rows(train).dense(), exact, **EXACT)
    torch.testing.assert_close(source.rows(train).dot(source.rows(test)), exact @ exact_test.T, **EXACT)


def test_a_layer_chosen_of_a_shared_weight_counts_every_use() -> None:
    torch.manual_seed(0)
    objective = Objective(Shared().double().eval(), CrossEntropy())
    source = gradient_source(objective, rows(5, 1), layers=("one.weight",))
    assert source.layout.parameters == ("one.weight",)
    exact = oracle.rows(objective, source.layout, rows(5, 1))
    torch.testing.assert_close(source.rows(rows(5, 1)).dense(), exact, **EXACT)


def test_a_model_that_draws_at_random_in_evaluation_is_refused() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.dropout(x, 0.5, training=True))

    with pytest.raises(EstimatorError, match="draws random numbers"):
        gradient_source(Objective(Noisy().double(), CrossEntropy()), rows(5, 1))


@pytest.mark.parametrize("name", ["perceptron", "convolutional", "untied text"])
def test_single_precision_sums_in_double(name: str) -> None:
    objective, train, test = case(name)
    exact = gradient_source(objective, train)
    single = gradient_source(objective, train, dtype=torch.float32)
    dots, truth = single.rows(train).dot(single.rows(test)), exact.rows(train).dot(exact.rows(test))
    assert dots.dtype == torch.float64
    assert float((dots - truth).abs().max() / truth.abs().max()) < 1e-5
