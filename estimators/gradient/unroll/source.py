"""Source: the run's derivative from a few checkpoints, segments of steady curvature in place of single steps.

    I[i, j] = (1/n) g_j sum over l of [product over l' > l of E_l'] phi_l(H_l) gbar_l,i,
    E_l = exp(-eta_l K_l H_l),  phi_l(mu) = (1 - exp(-eta_l K_l mu)) / mu          (Bae, Lin, Lorraine and Grosse 2024)

K_l steps of mean rate eta_l; gbar: the mean gradient over a segment's checkpoints; H_l: the curvature at its middle
checkpoint, the penalty included (the paper averages factors over the segment's checkpoints). One endless segment is the
influence function, a short one TracIn over expected visits. Instances are left out of the sum, the divisor staying n.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Filter, SpectralCurvature
from estimators.gradient.fitting import fit_curvature
from estimators.gradient.objective import Instances
from estimators.gradient.record import CurvatureName, CurvatureOptions
from estimators.gradient.source import GradientSource
from estimators.gradient.trajectory import Checkpoint, Trajectory

Decay = Literal["exponential", "steps"]
"""exponential: exp(-eta K mu), the paper's. steps: (1 - eta mu)^K, exact for full-batch descent on a quadratic."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Some steps of a run. checkpoints: within it. rate: the mean of its steps' rates. steps: K."""

    checkpoints: Trajectory
    rate: float
    steps: int

    def decay(self, form: Decay) -> Filter:
        """What is left of a change of theta at the segment's end."""
        if form == "steps":
            return lambda mu: (1.0 - self.rate * mu) ** self.steps
        return lambda mu: torch.exp(-self.rate * self.steps * mu)

    def response(self, form: Decay) -> Filter:
        """phi: how far a steady gradient moves theta over the segment; eta K where mu is 0."""
        length = self.rate * self.steps

        def phi(mu: Tensor) -> Tensor:
            safe = torch.where(mu == 0.0, 1.0, mu)
            left = -torch.expm1(-length * mu) if form == "exponential" else 1.0 - self.decay(form)(mu)
            return torch.where(mu == 0.0, length, left / safe)

        return phi


def segments_of(trajectory: Trajectory, count: int = 3, *, momentum: float = 0.0) -> tuple[Segment, ...]:
    """A trajectory's checkpoints in `count` segments of about equal length; with momentum rates are over 1 - mu.

    Raises EstimatorError for more segments than checkpoints.
    """
    stands = [each for each in trajectory if each.steps and each.rate]
    if not 1 <= count <= len(stands):
        raise EstimatorError(f"{len(stands)} checkpoints do not make {count} segments")
    parts = [stands[part[0] : part[-1] + 1] for part in np.array_split(np.arange(len(stands)), count)]
    return tuple(_segment(tuple(part), momentum) for part in parts)


def _segment(checkpoints: tuple[Checkpoint, ...], momentum: float) -> Segment:
    steps = sum(each.steps for each in checkpoints)
    rate = sum(each.rate * each.steps for each in checkpoints) / steps / (1.0 - momentum)
    return Segment(checkpoints, rate, steps)


def source_influence(
    source: GradientSource,
    train: Instances,
    test: Instances,
    segments: tuple[Segment, ...],
    final: Checkpoint,
    *,
    curvature: CurvatureName = "ekfac",
    options: CurvatureOptions | None = None,
    decay: Decay = "exponential",
) -> FloatArray:
    """Values [n, n_test] float64. curvature: one whose spectrum is known (exact, ekfac, kfac, diagonal, identity).

    Memory: the result and n_test vectors of p. Raises EstimatorError for another curvature.
    """
    total = np.zeros((len(train), len(test)))
    fit = _Fit(curvature, options or CurvatureOptions(damping=1e-12), decay)
    for side, share in _sides(source, train, test, segments, final, fit):
        total += share * _products(source, train, side)
    return total


def own_source_influence(
    source: GradientSource,
    train: Instances,
    rows: Tensor,
    segments: tuple[Segment, ...],
    final: Checkpoint,
    *,
    curvature: CurvatureName = "ekfac",
    options: CurvatureOptions | None = None,
    decay: Decay = "exponential",
) -> FloatArray:
    """Influence of the training instances at positions `rows` on their own losses [r] float64. Raises as above."""
    own, total = train[rows], np.zeros(len(rows))
    fit = _Fit(curvature, options or CurvatureOptions(damping=1e-12), decay)
    for side, share in _sides(source, train, own, segments, final, fit):
        gradients = torch.cat([source.rows(block).dense() for block in own.blocks(source.block_rows)])
        total += share * (gradients.double() * side).sum(dim=1).cpu().numpy()
    return total


@dataclass(frozen=True, slots=True)
class _Fit:
    curvature: CurvatureName
    options: CurvatureOptions
    decay: Decay


def _sides(
    source: GradientSource,
    train: Instances,
    test: Instances,
    segments: tuple[Segment, ...],
    final: Checkpoint,
    fit: _Fit,
) -> Iterator[tuple[Tensor, float]]:
    """For each checkpoint, loaded: the test gradients [m, p] as its training gradients meet them, and its share."""
    source.load(final.parameters)
    vectors = torch.cat([source.rows(block).dense() for block in test.blocks(source.block_rows)])
    for segment in reversed(segments):
        source.load(segment.checkpoints[len(segment.checkpoints) // 2].parameters)
        fitted = fit_curvature(fit.curvature, source, train, fit.options)
        if not isinstance(fitted, SpectralCurvature):
            raise EstimatorError(
                f"Source needs a curvature of known spectrum, not {fit.curvature}: take ekfac or exact"
            )
        side = fitted.apply(segment.response(fit.decay), vectors)
        vectors = fitted.apply(segment.decay(fit.decay), vectors)
        for checkpoint in segment.checkpoints:
            source.load(checkpoint.parameters)
            yield side, 1.0 / (len(segment.checkpoints) * len(train))


def _products(source: GradientSource, train: Instances, side: Tensor) -> FloatArray:
    parts = tuple(part.contiguous() for part in source.layout.split(side))
    found: FloatArray = (
        torch.cat([source.rows(block).times(parts) for block in train.blocks(source.block_rows)]).cpu().numpy()
    )
    return found
