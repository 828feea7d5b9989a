"""Blocks of TRAK: sums over some models each, which are averaged when they are read."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from estimators.gradient.record import Projection
from estimators.gradient.source import GradientSource
from estimators.gradient.trak import model_scores
from estimators.gradient.trak_scores import ModelScores, summed
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem, State
from workers.gradient_served import trak_projection
from workers.gradient_specs import GradientSpec

MOST_PARTS = 8
"""Matrices that are stored at most, however many models there are; a killed job loses one part of the models."""


class TrakBlocks:
    """state: the parameters of model k. The checkpoint of a block: its place among the parts."""

    def __init__(
        self, spec: GradientSpec, problem: GradientProblem, source: GradientSource, state: Callable[[int], State]
    ) -> None:
        self._spec, self._problem, self._source, self._state = spec, problem, source, state

    @property
    def cells(self) -> dict[Kind, int]:
        """A matrix a model."""
        return {"gradient": self._spec.models_needed * len(self._problem.train) * len(self._problem.test)}

    @property
    def _parts(self) -> list[range]:
        models = self._spec.models_needed
        size = -(-models // MOST_PARTS)
        return [range(start, min(start + size, models)) for start in range(0, models, size)]

    def tasks(self) -> list[GradientTask]:
        """One a part."""
        return [GradientTask("gradient", part, 0, 0) for part in range(len(self._parts))]

    def compute(self, task: GradientTask) -> Computed:
        """Sums over the part's models, see `estimators.gradient.trak_scores.ModelScores`."""
        models = self._parts[task.checkpoint]
        found = summed(self._scores(number) for number in models)
        arrays = {name: np.asarray(value) for name, value in asdict(found).items()}
        facts = {"damping": found.damping, "dimensions": float(self._dimensions)}
        return Computed(arrays, len(models) * found.products.size, facts)

    @property
    def _projection(self) -> Projection | None:
        return trak_projection(self._spec, len(self._problem.train), self._source.model_layout.size)

    @property
    def _dimensions(self) -> int:
        return self._source.model_layout.size if self._projection is None else self._projection.dimensions

    def _scores(self, number: int) -> ModelScores:
        return model_scores(
            self._source,
            self._problem.train,
            self._problem.test,
            self._state(number),
            number,
            projection=self._projection,
            damping=self._spec.damping,
        )
