"""Networks, data and the plain PyTorch loop that the networks' benchmarks compare with."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from estimators.seeding import generator
from workers.dataset import Dataset
from workers.learner_specs import OptimizerSpec, TorchSpec
from workers.learners.torch_learner import TorchLearner
from workers.together_pilot import TogetherChoice, pilot


class Small(nn.Module):
    """64-32-10."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.layers(x)


class Wide(nn.Module):
    """784-64-10."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.layers(x)


class SmallCnn(nn.Module):
    """Two convolutions of 8 and 16 channels, each halved by pooling, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.last = nn.Linear(16 * 49, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = functional.max_pool2d(functional.relu(self.first(x.view(-1, 1, 28, 28))), 2)
        x = functional.max_pool2d(functional.relu(self.second(x)), 2)
        return self.last(x.flatten(1))


@dataclass(frozen=True, slots=True)
class Setting:
    """A network on data of its shape: n training instances, subsets of m, minibatches for so many epochs."""

    model: type[nn.Module]
    features: int
    n: int
    m: int
    batch: int
    epochs: int
    optimizer: str = "sgd"
    n_test: int = 500

    def data(self) -> Dataset:
        """Ten clouds of points with the shape of the data set that the row is about; speed depends on shapes alone."""
        random = np.random.default_rng(0)
        labels = random.integers(10, size=self.n + self.n_test)
        centres = random.normal(size=(10, self.features))
        features = (centres[labels] + 2.0 * random.normal(size=(len(labels), self.features))).astype(np.float32)
        return Dataset(
            "classification",
            train_features=features[: self.n],
            train_labels=labels[: self.n],
            test_features=features[self.n :],
            test_labels=labels[self.n :],
            classes=tuple("0123456789"),
        )

    def members(self, count: int) -> np.ndarray:
        """Subsets [count, n] of m instances."""
        random = np.random.default_rng(1)
        return np.array([np.isin(np.arange(self.n), random.permutation(self.n)[: self.m]) for _ in range(count)])

    def learner(self, together: int | None = None, device: str = "cpu", **options: object) -> TorchLearner:
        """Ours, with K given or by shapes."""
        spec = TorchSpec(
            model="networks.py:Model",
            epochs=self.epochs,
            batch_size=self.batch,
            optimizer=OptimizerSpec(name=self.optimizer, lr=self.rate),
            losses=("cross_entropy",),
            train_losses=False,
            **options,
        )
        return TorchLearner(spec, self.data(), self.model, device=device, together=together)

    @property
    def rate(self) -> float:
        """The learning rate."""
        return 0.1 if self.optimizer == "sgd" else 0.01

    def piloted(self) -> tuple[TorchLearner, TogetherChoice]:
        """Ours, with K by the pilot that a job runs."""
        learner = self.learner()
        choice = pilot(learner, most=10_000)
        assert choice is not None, "the job names no K"
        return learner.with_together(choice.together), choice

    def steps(self) -> int:
        """Steps of one retrain."""
        return self.epochs * -(-self.m // self.batch)


def plain_retrain(setting: Setting, data: Dataset, row: np.ndarray, seed: int, device: str = "cpu") -> np.ndarray:
    """One retrain as anyone would write it, with the batches that ours sees; cross-entropies [n_test]."""
    torch.manual_seed(seed)
    net = setting.model().to(device)
    kind = torch.optim.SGD if setting.optimizer == "sgd" else torch.optim.Adam
    optimizer = kind(net.parameters(), lr=setting.rate)
    features = torch.from_numpy(data.train_features).to(device)
    labels = torch.from_numpy(data.train_labels).to(device)
    own, random = np.flatnonzero(row), generator("epochs", seed)
    for _ in range(setting.epochs):
        order = torch.from_numpy(own[random.permutation(len(own))]).to(device)
        for start in range(0, len(order), setting.batch):
            batch = order[start : start + setting.batch]
            optimizer.zero_grad()
            functional.cross_entropy(net(features[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        outputs = net(torch.from_numpy(data.test_features).to(device))
        return functional.cross_entropy(outputs.cpu(), torch.from_numpy(data.test_labels), reduction="none").numpy()
