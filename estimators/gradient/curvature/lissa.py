"""LiSSA: the inverse as a Neumann series over minibatches (Agarwal, Bullins and Hazan, JMLR 2017)."""

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.products import CurvatureKind, CurvatureProducts
from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.objective import Instances
from estimators.gradient.source import GradientSource


class Lissa(Curvature):
    """x <- v + (1 - delta / s) x - (C + penalty) x / s, then x / s: the fixed point is (C + penalty + delta)^-1 v.

    The damping is delta itself; published codes take d = delta / s. s (scaling) must exceed half the largest
    eigenvalue. batch: instances a step, None for all of them, which makes the series exact. With several repeats,
    facts["standard error"] is the largest of the mean's, relative to the solution's length.
    """

    def __init__(
        self,
        source: GradientSource,
        instances: Instances,
        *,
        damping: float,
        kind: CurvatureKind = "hessian",
        depth: int = 5000,
        repeats: int = 1,
        batch: int | None = 1,
        scaling: float = 10.0,
        seed: int = 0,
    ) -> None:
        super().__init__(source.layout, damping, {"scaling": scaling, "depth": float(depth), "repeats": float(repeats)})
        self._source, self._instances, self._kind = source, source.moved(instances), kind
        self._depth, self._repeats, self._batch = depth, repeats, batch
        self._scaling, self._seed = scaling, seed
        self._whole = CurvatureProducts(source, instances, kind)

    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v, the mean over repeats.

        Raises:
            EstimatorError: the series grows.
        """
        found = torch.stack([self._series(vectors, self._seed + repeat) for repeat in range(self._repeats)])
        mean = found.mean(dim=0)
        residuals = (vectors - self._whole(mean) - self.damping * mean).norm(dim=1)
        worst = float((residuals / vectors.norm(dim=1).clamp(min=1e-300)).max())
        facts = {"residual": max(self.facts.get("residual", 0.0), worst)}
        if self._repeats > 1:
            errors = found.std(dim=0).norm(dim=1) / self._repeats**0.5 / mean.norm(dim=1).clamp(min=1e-300)
            facts["standard error"] = max(self.facts.get("standard error", 0.0), float(errors.max()))
        self.facts = {**self.facts, **facts}
        return mean

    def _series(self, vectors: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        shrink = 1 - self.damping / self._scaling
        x = vectors.clone()
        for step in range(self._depth):
            x = vectors + shrink * x - self._product(x, generator) / self._scaling
            if step % 50 == 0 and not bool(torch.isfinite(x).all()):
                break
        if not bool(torch.isfinite(x).all()) or float(x.norm()) > 1e8 * float(vectors.norm()):
            raise EstimatorError(
                f"LiSSA diverged with scaling {self._scaling:g}: it must exceed half the largest eigenvalue of the "
                "curvature; raise `scaling`, and `depth` with it"
            )
        return x / self._scaling

    def _product(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if self._batch is None or self._batch >= len(self._instances):
            return self._whole(x)
        rows = torch.randint(len(self._instances), (self._batch,), generator=generator).to(self._source.device)
        return CurvatureProducts(self._source, self._instances[rows], self._kind, graph_bytes=0)(x)
