"""One checkpoint made ready: parameters loaded, curvature fitted, the test side computed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from estimators.gradient.curvature.protocol import Curvature, Identity, vectors_as_rows
from estimators.gradient.normalisation import layer_normalised, test_factors, train_factors
from estimators.gradient.objective import Instances
from estimators.gradient.record import Estimator
from estimators.gradient.rows import GradientRows
from estimators.gradient.source import GradientSource
from estimators.gradient.trajectory import Checkpoint

SIDE_FLOATS = 2**27
"""Solved test gradients held at once (0.5 GB in float32); more tests are taken in further columns."""


@dataclass(frozen=True, slots=True)
class TestSide:
    """Test gradients as the train side meets them: as they are (factored), or solved, one [m, p_l] a layer.

    factors: [m] float64 or None. offsets: [m], what every training instance's score gets (the penalty's share under
    mean deletion), or None. facts: what the solver said of this side alone.
    """

    rows: tuple[GradientRows, ...] = ()
    vectors: tuple[Tensor, ...] = ()
    factors: Tensor | None = None
    offsets: Tensor | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Number of test columns."""
        return sum(len(part) for part in self.rows) if self.rows else len(self.vectors[0])

    def scores(self, rotated: GradientRows) -> Tensor:
        """Products [b, m] float64 with rotated training gradients."""
        if self.rows:
            met = rotated if len(self.rows) == 1 else rotated.held()
            found = torch.cat([met.dot(part) for part in self.rows], dim=1)
        else:
            found = rotated.times(self.vectors)
        if self.offsets is not None:
            found += self.offsets
        return found if self.factors is None else found.mul_(self.factors)


@dataclass(slots=True)
class Stage:
    """An estimator at one checkpoint. source: its own copy of the model, loaded. n: training instances in all.

    test_source: where test gradients are taken, the same checkpoint or the last one.
    """

    estimator: Estimator
    source: GradientSource
    test_source: GradientSource
    curvature: Curvature
    checkpoint: Checkpoint
    n: int
    sides: dict[int, TestSide] = field(default_factory=dict)
    _fitted: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        """Take down what the fit said, before anything is solved."""
        self._fitted = dict(self.curvature.facts)

    def train_block(self, instances: Instances) -> tuple[GradientRows, Tensor]:
        """Rotated gradients of training instances, and their factors [b] float64, weights included."""
        rows, rotated = self._rotated(self.source, instances)
        factors = train_factors(rows, rotated, self.curvature, self.estimator.normalise)
        weight = self.weight()
        if factors is None:
            return rotated, torch.full((len(instances),), weight, dtype=torch.float64, device=self.source.device)
        return rotated, factors * weight

    def weight(self) -> float:
        """w_t, the same for every instance that counts at this checkpoint."""
        if self.estimator.weights == "instances":
            return 1.0 / self.n
        if self.estimator.weights == "rate":
            return self.checkpoint.rate
        if self.estimator.weights == "visits":
            return self.checkpoint.rate * self.checkpoint.steps / self.n
        batch = self.checkpoint.batch
        return self.checkpoint.rate / (self.n if batch is None else len(batch))

    def side(self, test: Instances) -> TestSide:
        """The test side of these test instances."""
        self.curvature.facts = dict(self._fitted)
        return self._side([self._rotated(self.test_source, block) for block in test.blocks(self.source.block_rows)])

    def joint_side(self, test: Instances) -> TestSide:
        """The test side of the sum over test instances: one solve."""
        self.curvature.facts = dict(self._fitted)
        total: Tensor | None = None
        for block in test.blocks(self.source.block_rows):
            rows, _ = self._rotated(self.test_source, block)
            factors = test_factors(rows, self.estimator.normalise)
            ones = torch.ones(1, len(rows), dtype=rows.losses.dtype, device=self.source.device)
            mixed = rows.mix(ones if factors is None else ones * factors.to(ones.dtype)).double()
            total = mixed if total is None else total + mixed
        assert total is not None
        rows = vectors_as_rows(self.source.layout, total.to(self._working))
        return self._side([(rows, self.curvature.rotate(rows))], joint=True)

    def self_scores(self, instances: Instances, mirror: Instances | None = None) -> Tensor:
        """Each instance's influence on its own loss, [b] float64; `mirror`: the same instances with other noise."""
        self.curvature.facts = dict(self._fitted)
        rows, rotated = self._rotated(self.source, instances)
        other, other_rotated = (rows, rotated) if mirror is None else self._rotated(self.source, mirror)
        if mirror is None:
            found = self.curvature.energies(rotated)
        else:
            solved = self.curvature.solved(rotated)
            pairs = zip(solved, other_rotated.layers, strict=True)
            found = torch.stack([(a.double() * b.dense()).sum(dim=1) for a, b in pairs]).sum(dim=0)
        drift = self._drift()
        if drift is not None:
            found = found + other_rotated.times(drift)[:, 0]
        for factors in (
            train_factors(rows, rotated, self.curvature, self.estimator.normalise),
            test_factors(other, self.estimator.normalise),
        ):
            found = found if factors is None else found * factors
        return found * self.weight()

    @property
    def _working(self) -> torch.dtype:
        return torch.float32 if self.source.dtype == torch.bfloat16 else self.source.dtype

    def _rotated(self, source: GradientSource, instances: Instances) -> tuple[GradientRows, GradientRows]:
        rows = self._tokens(layer_normalised(source.rows(instances), self.estimator.normalise))
        return rows, self.curvature.rotate(rows)

    def _tokens(self, rows: GradientRows) -> GradientRows:
        return rows if self.estimator.tokens is None else rows.strongest_tokens(self.estimator.tokens)

    def _side(self, pairs: list[tuple[GradientRows, GradientRows]], *, joint: bool = False) -> TestSide:
        rotated = tuple(pair[1] for pair in pairs)
        each = [] if joint else [test_factors(rows, self.estimator.normalise) for rows, _ in pairs]
        factors = torch.cat([f for f in each if f is not None]) if any(f is not None for f in each) else None
        if isinstance(self.curvature, Identity) and not joint:
            few = sum(len(rows) for rows in rotated) * self.source.layout.size <= SIDE_FLOATS
            return TestSide(rows=tuple(rows.held() for rows in rotated) if few else rotated, factors=factors)
        solved = [self.curvature.solved(rows) for rows in rotated]
        vectors = tuple(torch.cat(parts).contiguous() for parts in zip(*solved, strict=True))
        drift = self._drift()
        if drift is None:
            return TestSide(vectors=vectors, factors=factors, facts=dict(self.curvature.facts))
        offsets = torch.cat([rows.times(drift)[:, 0] for rows in rotated])
        return TestSide(vectors=vectors, factors=factors, offsets=offsets, facts=dict(self.curvature.facts))

    def _drift(self) -> tuple[Tensor, ...] | None:
        """A^-1 (penalty * theta) rotated, where leaving an instance out also changes the penalty's share."""
        objective = self.source.objective
        if self.estimator.weights != "instances" or objective.deletion == "sum" or self.source.projector is not None:
            return None
        pull = (self.source.penalties() * objective.theta(self.source.layout)).to(self._working)
        if not bool(pull.any()):
            return None
        return self.curvature.solved(self.curvature.rotate(vectors_as_rows(self.source.layout, pull[None])))
