"""How well group influence foresees retrains without each group, and how anomalies stand out in a variational model."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from estimators.evaluation.label_errors import LabelErrorDetection, label_errors
from estimators.evaluation.rank_agreement import RankAgreement, rank_agreement
from estimators.gradient.engine import Engine
from estimators.gradient.objective import Instances, Objective
from estimators.gradient.record import Estimator
from estimators.gradient.source import gradient_source
from estimators.gradient.trajectory import Checkpoint
from orchestrator import JobResult
from orchestrator.group_influence import groups_by


def left_out_groups(result: JobResult, campaign: str = "groups", column: str = "source") -> np.ndarray:
    """Mean loss without each group less that of everything [G, n_test], over the seeds that there are."""
    codes, names = groups_by(result, column)
    chosen = result.campaign(campaign)
    sums, counts = np.zeros((len(names), chosen.store.n_test)), np.zeros(len(names))
    for block in chosen.retrains("cross_entropy", 0, chosen.plan.draws):
        gone = codes[np.argmin(block.members, axis=1)]
        np.add.at(sums, gone, block.losses)
        np.add.at(counts, gone, 1)
    whole: np.ndarray = sums / counts[:, None]
    return whole - whole.mean(axis=0)  # the loss of everything is the same for all groups, and orders none


def group_agreements(result: JobResult) -> dict[str, RankAgreement]:
    """Spearman's correlation over groups of each group method with the retrains, mean over tests."""
    truth = left_out_groups(result)
    found = {}
    for spec in result.job.gradients:
        if spec.method == "group_influence":
            groups = result.gradient(spec.label).groups
            assert groups is not None
            found[spec.label] = rank_agreement(groups, truth)
    return found


class _Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(64, 16), nn.Linear(8, 64)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        mean, log_variance = self.encode(x).chunk(2, dim=1)
        return torch.cat([self.decode(mean + noise * (log_variance / 2).exp()), mean, log_variance], dim=1)


def _negative_elbo(outputs: Tensor, labels: Tensor) -> Tensor:
    found, mean, log_variance = outputs[:, :64], outputs[:, 64:72], outputs[:, 72:]
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
    return 2.0 * (found - labels).square().sum(dim=1) + divergence


@dataclass(frozen=True, slots=True)
class Anomalies:
    """VAE-TracIn: foreign training instances by self-influence. TracInAD: foreign test instances by a low score."""

    self_influence: LabelErrorDetection
    anomaly_score: LabelErrorDetection


def anomalies() -> Anomalies:
    """A linear variational model of the digit 1, trained with one foreign digit in ten, tested with half of them."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - only where it is asked for

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(2).permutation(len(y))
    own, foreign = (order[(y[order] == 1) == kind] for kind in (True, False))
    rows = {"train": np.concatenate([own[:120], foreign[:12]]), "test": np.concatenate([own[120:180], foreign[12:72]])}
    sides = {name: torch.tensor(x[places] / 16, dtype=torch.float32) for name, places in rows.items()}
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(32, 8, generator=generator)
    torch.manual_seed(0)
    module = _Variational()
    train, test = (Instances(side, side, None, noise[:16]) for side in sides.values())
    objective = Objective(module, _negative_elbo)
    source = gradient_source(objective, train)
    descent = torch.optim.SGD(module.parameters(), lr=0.01)
    steps = []
    for _ in range(300):
        steps.append(Checkpoint({name: each.clone() for name, each in module.state_dict().items()}, rate=0.01))
        drawn = torch.randn(1, 8, generator=generator)
        descent.zero_grad()
        objective.losses(Instances(train.features, train.labels, None, drawn)).mean().backward()
        descent.step()
    record = Estimator(name="tracin_vae", weights="rate")
    learnt, learning = (Engine(record, source, train, test, tuple(each)) for each in (steps[49::50], steps[:60:10]))
    other = Instances(train.features, train.labels, None, noise[16:])
    score = learning.groups(np.full((1, len(train)), 1 / len(train)))[0]
    known = {name: y[places] != 1 for name, places in rows.items()}
    return Anomalies(
        label_errors(learnt.self_influence(mirror=other), known["train"], share=0.1),
        label_errors(-score, known["test"], share=0.5),
    )
