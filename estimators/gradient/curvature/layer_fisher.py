"""The empirical Fisher of each layer written out: for small layers, or images of large ones (LoGra)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from estimators.errors import EstimatorError
from estimators.gradient.curvature.protocol import Filter, SpectralCurvature
from estimators.gradient.layout import Layout
from estimators.gradient.rows import GradientRows

MOST_PARAMETERS = 8192
AUTOMATIC_DAMPING = 0.1


class LayerFisher(SpectralCurvature):
    """Block-diagonal over layers; spectra: eigenvalues [p_l] and eigenvectors [p_l, p_l] float64 of each."""

    def __init__(self, layout: Layout, spectra: list[tuple[Tensor, Tensor]], dampings: list[float]) -> None:
        super().__init__(layout, sum(dampings) / len(dampings))
        self._spectra, self._dampings = spectra, dampings

    def apply(self, function: Filter, vectors: Tensor) -> Tensor:
        """f(F_l + penalty) v in each layer."""
        return self._applied([function] * len(self._spectra), vectors)

    def solve(self, vectors: Tensor) -> Tensor:
        """A^-1 v, each layer with its own damping."""
        return self._applied([lambda mu, d=d: 1.0 / (mu + d) for d in self._dampings], vectors)  # type: ignore[misc]

    def _applied(self, functions: list[Filter], vectors: Tensor) -> Tensor:
        parts = zip(self._spectra, functions, self.layout.split(vectors), strict=True)
        found = [((part.double() @ q) * f(mu)) @ q.T for (mu, q), f, part in parts]
        return torch.cat(found, dim=1).to(vectors.dtype)


def fit_layer_fisher(
    layout: Layout, blocks: Iterator[GradientRows], penalties: Tensor, *, damping: float | None = None
) -> LayerFisher:
    """(1/n) G_l^T G_l + penalty of each layer. damping: None = 0.1 of each layer's mean eigenvalue.

    Raises:
        EstimatorError: a layer has too many coordinates.
    """
    large = [layer.name for layer in layout.layers if layer.size > MOST_PARAMETERS]
    if large:
        raise EstimatorError(f"layers {', '.join(large)} have more than {MOST_PARAMETERS:,} coordinates: project them")
    sums = [
        torch.zeros(layer.size, layer.size, dtype=torch.float64, device=penalties.device) for layer in layout.layers
    ]
    n = 0
    for rows in blocks:
        n += len(rows)
        for total, layer in zip(sums, rows.layers, strict=True):
            dense = layer.dense()
            total.add_(dense.T @ dense)
    parts = layout.split(penalties[None])
    spectra = [torch.linalg.eigh(s / n + torch.diag(p[0].double())) for s, p in zip(sums, parts, strict=True)]
    pairs = [(each.eigenvalues.clamp(min=0), each.eigenvectors) for each in spectra]
    automatic = [AUTOMATIC_DAMPING * float(values.mean()) for values, _ in pairs]
    return LayerFisher(layout, pairs, automatic if damping is None else [damping] * len(pairs))
