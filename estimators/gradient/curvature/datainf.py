"""DataInf: the mean of the inverses in place of the inverse of the mean, layer by layer (Kwon et al., ICLR 2024)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from estimators.gradient.curvature.protocol import Curvature
from estimators.gradient.layout import Layout
from estimators.gradient.rows import GradientRows

AUTOMATIC_DAMPING = 0.1


class DataInf(Curvature):
    """A_l^-1 v ~ (1/d_l) [v - (1/n) sum_k g_k (g_k . v) / (d_l + ||g_k||^2)] in each layer l.

    dampings: d_l, one a layer. norms: ||g_k||^2 [n] float64, one a layer.
    """

    def __init__(
        self,
        layout: Layout,
        blocks: Callable[[], Iterator[GradientRows]],
        dampings: tuple[float, ...],
        norms: tuple[Tensor, ...],
    ) -> None:
        super().__init__(layout, sum(dampings) / len(dampings))
        self._blocks, self._dampings, self._norms = blocks, dampings, norms

    def solve(self, vectors: Tensor) -> Tensor:
        """The approximate A^-1 v, from one pass over the training gradients."""
        parts = self.layout.split(vectors)
        totals, start = [torch.zeros_like(part) for part in parts], 0
        for rows in self._blocks():
            here = slice(start, start + len(rows))
            for total, layer, part, damping, norms in zip(
                totals, rows.layers, parts, self._dampings, self._norms, strict=True
            ):
                weights = layer.times(part.contiguous()).double() / (damping + norms[here, None])
                total.add_(layer.mix(weights.T.to(total.dtype)))
            start += len(rows)
        each = zip(parts, totals, self._dampings, strict=True)
        return torch.cat([(part - total / start) / damping for part, total, damping in each], dim=1)


def fit_datainf(
    layout: Layout, blocks: Callable[[], Iterator[GradientRows]], *, damping: float | None = None
) -> DataInf:
    """From the squared norms of the training gradients. damping: None = 0.1 mean(g^2) of each layer."""
    norms = [
        torch.cat(parts)
        for parts in zip(*([layer.row_dot(layer).double() for layer in rows.layers] for rows in blocks()), strict=True)
    ]
    automatic = [
        AUTOMATIC_DAMPING * float(each.mean()) / layer.size for each, layer in zip(norms, layout.layers, strict=True)
    ]
    dampings = tuple(automatic if damping is None else [damping] * len(norms))
    return DataInf(layout, blocks, dampings, tuple(norms))
