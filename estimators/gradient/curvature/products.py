"""Products of a mean curvature with vectors, without the matrix: (1/n) sum_i C_i v + penalty * v.

Graphs of a fixed theta are built once and kept while they fit in memory, so that a product costs only the derivative of
the gradient (Pearlmutter 1994), not the gradient again. Chains of linear layers need no graph (`chain`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from estimators.errors import EstimatorError
from estimators.gradient.curvature.chain import ChainProducts
from estimators.gradient.curvature.linear_chain import Chain
from estimators.gradient.curvature.rough import ROUGHNESS, RoughMap, bfloat16_is_fast
from estimators.gradient.objective import Instances
from estimators.gradient.rows import GradientRows
from estimators.gradient.source import GradientSource

CurvatureKind = Literal["hessian", "gauss_newton", "fisher"]
"""hessian: of the losses. gauss_newton: of the losses in the outputs only, positive semi-definite; for cross-entropy
and squared error it is the true Fisher. fisher: empirical, gradients at the true labels."""
GRAPH_BYTES = 2**30
VECTORS_FLOATS = 2**26
KEPT_ROWS = 1024
"""Instances of one kept graph: what a product makes of them stays in the cache."""
_Product = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


class CurvatureProducts:
    """`products(v)` for v [k, p], of the type of the model; the sum over blocks is float64 for float32 models.

    The matrix is symmetric and includes the objective's penalty, but no damping.
    """

    def __init__(
        self,
        source: GradientSource,
        instances: Instances,
        kind: CurvatureKind = "hessian",
        *,
        graph_bytes: int = GRAPH_BYTES,
    ) -> None:
        if kind == "gauss_newton" and instances.noise is not None:
            raise EstimatorError("gauss_newton needs a loss of the model's outputs alone, not one over noise draws")
        self.source = source
        self.kind = kind
        self.instances = source.moved(instances)
        if source.projector is not None:
            raise EstimatorError("products with a curvature are taken with whole gradients, not with random images")
        self.penalties = source.penalties()
        self._penalised = bool(self.penalties.any())
        self._parameters = [source.objective.module.get_parameter(name) for name in source.layout.parameters]
        self._kept: list[_Product] = []
        few = min(len(instances), 64)
        self._floats = _saved_floats(source, self.instances[:few], self._parameters) / few + 1
        self._keeps = 4 * self._floats * len(instances) <= graph_bytes
        self._chain = self._as_chain()

    @property
    def size(self) -> int:
        """P."""
        return self.source.layout.size

    def __call__(self, vectors: Tensor) -> Tensor:
        """Products [k, p] with vectors [k, p]."""
        found = self._taped(vectors) if self._chain is None else self._chain(vectors)
        return self._with_penalties(found, vectors)

    @property
    def rough(self) -> RoughMap | None:
        """The products in a cheaper form, where there is one."""
        chain = self._chain
        if chain is None or not bfloat16_is_fast(self.source.device, self.source.dtype):
            return None
        return RoughMap(lambda vectors: self._with_penalties(chain(vectors, rough=True), vectors), ROUGHNESS)

    def _with_penalties(self, found: Tensor, vectors: Tensor) -> Tensor:
        return found.addcmul_(self.penalties, vectors) if self._penalised else found

    @property
    def chained(self) -> bool:
        """Whether products go through a chain of layers rather than through autograd."""
        return self._chain is not None

    def _as_chain(self) -> ChainProducts | None:
        objective, layout = self.source.objective, self.source.layout
        chain = Chain.of(objective, layout)
        flat = self.instances.noise is None and self.instances.features.ndim == 2
        if chain is None or self.kind == "fisher" or not flat:
            return None
        hessian = self.kind == "hessian"
        return ChainProducts(chain, objective, layout, self.instances, hessian=hessian, keep=self._keeps)

    def _taped(self, vectors: Tensor) -> Tensor:
        """Means [k, p] by autograd."""
        total = torch.zeros(vectors.shape, dtype=torch.float64, device=vectors.device)
        group = max(1, int(VECTORS_FLOATS // (self._floats * min(len(self.instances), self._rows()))))
        for product in self._products():
            for start in range(0, len(vectors), group):
                part = vectors[start : start + group]
                found = product(self.source.layout.unflatten(part))
                total[start : start + group] += torch.cat([each.flatten(1) for each in found], dim=1)
        return total.div_(len(self.instances)).to(vectors.dtype)

    def _rows(self) -> int:
        return KEPT_ROWS if self._keeps else self.source.block_rows

    def _products(self) -> Iterator[_Product]:
        if self._kept:
            yield from self._kept
            return
        make = {"hessian": self._hessian, "gauss_newton": self._gauss_newton, "fisher": self._fisher}[self.kind]
        for block in self.instances.blocks(self._rows()):
            product = make(block)
            if self._keeps:
                self._kept.append(product)
            yield product

    def _hessian(self, block: Instances) -> _Product:
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            loss = self.source.objective.losses(block).sum()
        gradients = torch.autograd.grad(loss, self._parameters, create_graph=True, materialize_grads=True)
        return lambda parts: _batched_grad(gradients, self._parameters, parts)

    def _gauss_newton(self, block: Instances) -> _Product:
        with sdpa_kernel(SDPBackend.MATH):
            outputs = self.source.objective.module(block.features)
        towards = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, self._parameters, towards, create_graph=True, materialize_grads=True)
        leaf = outputs.detach().requires_grad_()
        losses = self.source.objective.loss(leaf, block.labels)
        if block.weights is not None:
            losses = losses * block.weights
        slopes = torch.autograd.grad(losses.sum(), leaf, create_graph=True)

        def product(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            pushed = _batched_grad(pulled, [towards], parts)
            bent = _batched_grad(slopes, [leaf], pushed)
            return _batched_grad([outputs], self._parameters, bent)

        return product

    def _fisher(self, block: Instances) -> _Product:
        rows = self.source.rows(block)
        return lambda parts: _fisher_product(self.source, rows, parts)


def _fisher_product(source: GradientSource, rows: GradientRows, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    vectors = torch.cat([part.flatten(1) for part in parts], dim=1)
    dots = rows.times(tuple(each.contiguous() for each in source.layout.split(vectors)))
    return source.layout.unflatten(rows.mix(dots.T.to(vectors.dtype)))


def _batched_grad(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Vector-Jacobian products for a leading axis of vectors, the graph kept."""
    pairs = [(out, vector) for out, vector in zip(outputs, vectors, strict=True) if out.requires_grad]
    if not pairs:
        return tuple(each.new_zeros(len(vectors[0]), *each.shape) for each in inputs)
    outs, towards = [out for out, _ in pairs], [vector for _, vector in pairs]
    if len(vectors[0]) == 1:
        return tuple(each[None] for each in _grad(outs, inputs, [vector[0] for vector in towards]))
    try:
        return _grad(outs, inputs, towards, batched=True)
    except RuntimeError:  # an operation without a batching rule: one vector after the other
        each = [_grad(outs, inputs, [vector[k] for vector in towards]) for k in range(len(vectors[0]))]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))


def _grad(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor], *, batched: bool = False
) -> tuple[Tensor, ...]:
    if not batched:
        return torch.autograd.grad(outputs, inputs, vectors, retain_graph=True, materialize_grads=True)
    found = torch.autograd.grad(outputs, inputs, vectors, retain_graph=True, is_grads_batched=True, allow_unused=True)
    pairs = zip(found, inputs, strict=True)
    return tuple(each.new_zeros(len(vectors[0]), *each.shape) if got is None else got for got, each in pairs)


def _saved_floats(source: GradientSource, few: Instances, parameters: list[torch.nn.Parameter]) -> float:
    """Floats that the graph of a gradient holds for these instances, the parameters themselves apart."""
    seen: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if len(tensor.shape) and tensor.shape[0] == len(few):
            seen[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor), sdpa_kernel(SDPBackend.MATH):
        torch.autograd.grad(source.objective.losses(few).sum(), parameters, create_graph=True, materialize_grads=True)
    return float(sum(seen.values()))
