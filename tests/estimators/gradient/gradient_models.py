"""Small models of every kind of layer, with data, in float64."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from estimators.gradient.objective import CrossEntropy, Instances, Objective, RowLoss, SquaredError


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(5, 4)
        self.fc2 = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.tanh(self.fc1(x)))


class Convolutional(nn.Module):
    """Padding, stride, dilation, groups, both batch-free normalisations, an in-place activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding="same", padding_mode="circular")
        self.norm1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, (2, 3), stride=2, padding=(1, 0), dilation=(1, 2), groups=2, bias=False)
        self.norm2 = nn.GroupNorm(2, 4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.relu(self.norm2(self.conv2(x)))
        return self.head(self.drop(x.mean(dim=(2, 3))))


class Text(nn.Module):
    """Embedding with padding, attention, a layer called twice, LayerNorm, the embedding tied to the output."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4, padding_idx=0)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.twice = nn.Linear(4, 4)
        self.out = nn.Linear(4, 7)
        if tied:
            self.out.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = self.norm(x + self.attend(x, x, x, need_weights=False)[0])
        x = self.twice(torch.tanh(self.twice(x)))
        return self.out(x.mean(dim=1))


class Sneaky(nn.Module):
    """Uses one layer's weight outside its call, and a parameter that belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 5)
        self.scale = nn.Parameter(torch.ones(5))
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.fc(x)) * self.scale
        return self.head(functional.linear(x, self.fc.weight))


class Sequence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, stride=2, padding=1)
        self.lin = nn.Linear(4, 2)
        self.head = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.conv(x)).transpose(1, 2)
        return self.head(torch.tanh(self.lin(x)).mean(dim=1))


def _instances(n: int, shape: tuple[int, ...], classes: int, seed: int) -> Instances:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return Instances(features, torch.randint(classes, (n,), generator=generator))


def _tokens(n: int, seed: int) -> Instances:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(7, (n, 6), generator=generator)
    return Instances(ids, torch.randint(7, (n,), generator=generator))


def _regression(n: int, seed: int) -> Instances:
    found = _instances(n, (3, 9), 2, seed)
    return Instances(found.features, found.features.mean(dim=(1, 2)) + 0.1)


Case = tuple[Callable[[], nn.Module], Callable[[int, int], Instances], RowLoss]
CASES: dict[str, Case] = {
    "perceptron": (Perceptron, lambda n, seed: _instances(n, (5,), 3, seed), CrossEntropy()),
    "convolutional": (Convolutional, lambda n, seed: _instances(n, (2, 6, 7), 3, seed), CrossEntropy()),
    "text": (Text, _tokens, CrossEntropy()),
    "untied text": (lambda: Text(tied=False), _tokens, CrossEntropy()),
    "sneaky": (Sneaky, lambda n, seed: _instances(n, (5,), 3, seed), CrossEntropy()),
    "sequence": (Sequence, _regression, SquaredError()),
}


def case(name: str, n: int = 9, n_test: int = 4, **options: object) -> tuple[Objective, Instances, Instances]:
    """An objective with training and test instances; the batch normalisation has seen data."""
    make, data, loss = CASES[name]
    torch.manual_seed(0)
    module = make().double()
    train, test = data(n, 1), data(n_test, 2)
    module.train()
    for _ in range(3):
        module(train.features)
    return Objective(module.eval(), loss, **options), train, test  # type: ignore[arg-type]
