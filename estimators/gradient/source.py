"""A source of per-instance gradients of one model: checked once against autograd, then streamed in blocks."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from estimators.errors import EstimatorError
from estimators.gradient.capture import captured
from estimators.gradient.layout import Layout, layout_of
from estimators.gradient.objective import Instances, Objective
from estimators.gradient.pooling import pooled_first
from estimators.gradient.projection import Projector
from estimators.gradient.record import Projection
from estimators.gradient.rows import GradientRows
from estimators.gradient.through_model import rows_through_model

PROBE = 3
AGREEMENT: Mapping[torch.dtype, float] = {torch.float64: 1e-8, torch.float32: 1e-3, torch.bfloat16: 0.1}
BLOCK_FLOATS = 2**24
MOST_ROWS = 4096
IMAGE_ROWS = 256
"""The same of images with channels last, of which larger blocks leave the cache at every step."""


@dataclass(frozen=True, slots=True)
class GradientSource:
    """Per-instance gradients of `objective` (its own copy) in the parameters of `model_layout`, or their images."""

    objective: Objective
    model_layout: Layout
    block_rows: int
    projector: Projector | None = None
    channels_last: bool = False

    @property
    def layout(self) -> Layout:
        """The layout of `rows`: the parameters', or the projector's."""
        return self.model_layout if self.projector is None else self.projector.layout

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.objective.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type the model computes in."""
        return next(self.objective.module.parameters()).dtype

    def moved(self, instances: Instances) -> Instances:
        """Instances on the model's device in its type, images with channels last where that is faster."""
        found = instances.to(device=self.device, dtype=self.dtype)
        if self.channels_last and found.features.ndim == 4:
            return replace(found, features=found.features.contiguous(memory_format=torch.channels_last))
        return found

    def rows(self, instances: Instances) -> GradientRows:
        """Gradients of instances, all at once."""
        instances = self.moved(instances)
        found = captured(self.objective, self.model_layout, instances)
        if any(layer.form == "any" for layer in self.model_layout.layers):
            own = iter(found.layers)
            layers = tuple(
                rows_through_model(self.objective, layer, instances) if layer.form == "any" else next(own)
                for layer in self.model_layout.layers
            )
            found = replace(found, layers=layers)
        return found if self.projector is None else self.projector(found)

    def blocks(self, instances: Instances) -> Iterator[GradientRows]:
        """Gradients of instances, `block_rows` at a time."""
        for block in instances.blocks(self.block_rows):
            yield self.rows(block)

    def projected(self, projection: Projection) -> "GradientSource":
        """The same gradients replaced by their random images."""
        working = torch.float32 if self.dtype == torch.bfloat16 else self.dtype
        return replace(self, projector=Projector(projection, self.model_layout, working, self.device))

    def penalties(self) -> Tensor:
        """The objective's penalty of each coordinate of `layout`; of images, the mean over the layer or the model."""
        own = self.objective.penalties(self.model_layout)
        if self.projector is None:
            return own
        layers = self.layout.layers
        parts = self.model_layout.split(own[None]) if len(layers) > 1 else (own[None],)
        return torch.cat([part.mean().expand(layer.size) for part, layer in zip(parts, layers, strict=True)])

    def load(self, parameters: Mapping[str, Tensor]) -> None:
        """Put a checkpoint's parameters and buffers into the source's own model."""
        with torch.no_grad():
            own = dict(self.objective.module.named_parameters()) | dict(self.objective.module.named_buffers())
            missing = own.keys() - parameters.keys()
            missing -= {name for name, _ in self.objective.module.named_buffers()}
            if missing or parameters.keys() - own.keys():
                wrong = ", ".join(sorted(missing | (parameters.keys() - own.keys())))
                raise EstimatorError(f"the checkpoint is of another model: {wrong} does not fit")
            for name, tensor in parameters.items():
                own[name].copy_(tensor)


def gradient_source(
    objective: Objective,
    example: Instances,
    *,
    layers: tuple[str, ...] = ("*",),
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    block_rows: int | None = None,
) -> GradientSource:
    """A source on a copy of the objective's model in evaluation mode, its forms checked on a few of `example`.

    layers: patterns of parameter names. dtype: float32, float64 or bfloat16 (None: the model's own); products are taken
    in float32 at least and summed over layers in float64. A layer whose form disagrees with autograd (a weight used
    outside its layer's call, for one) is differentiated through the whole model instead.

    Raises:
        EstimatorError: no parameter matches, or gradients of single instances do not exist or cannot be taken.
    """
    module = copy.deepcopy(objective.module).to(device=device, dtype=dtype).eval()
    source = GradientSource(replace(objective, module=module), layout_of(module, layers), 1)
    _freeze_others(module, source.model_layout)
    source = _channels_last(_pooled_first(source, example[:PROBE]), example[:PROBE])
    few = source.moved(example[:PROBE])
    source = _checked(source, few)
    return replace(source, block_rows=block_rows or _rows_at_once(source, few))


def _pooled_first(source: GradientSource, few: Instances) -> GradientSource:
    """The source with max pooling before ReLU, where losses are the same to the bit."""
    module = copy.deepcopy(source.objective.module)
    if not pooled_first(module):
        return source
    changed = replace(source, objective=replace(source.objective, module=module))
    few = source.moved(few)
    with torch.no_grad():
        try:
            same = torch.equal(source.objective.losses(few), changed.objective.losses(few))
        except RuntimeError:
            return source
    return changed if same else source


def _channels_last(source: GradientSource, few: Instances) -> GradientSource:
    """The source with channels last, on a CPU, where the model has image convolutions and takes it (no `view`)."""
    module = source.objective.module
    if source.device.type != "cpu" or not any(isinstance(part, nn.Conv2d) for part in module.modules()):
        return source
    lasting = copy.deepcopy(module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    changed = replace(source, objective=replace(source.objective, module=lasting), channels_last=True)
    try:
        with torch.no_grad():
            changed.objective.losses(changed.moved(few))
    except RuntimeError:
        return source
    return changed


def _freeze_others(module: nn.Module, layout: Layout) -> None:
    chosen = {id(module.get_parameter(name)) for name in layout.parameters}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in chosen)


def _checked(source: GradientSource, few: Instances) -> GradientSource:
    """The source with every layer whose captured gradients are not autograd's taken through the model."""
    _refuse_mixing(source, few)
    exact = _by_autograd(source, few)
    wrong = {
        layer.name
        for layer in source.model_layout.layers
        if layer.form != "any" and not _agrees(source, layer.name, few, exact)
    }
    if wrong:
        source = replace(source, model_layout=source.model_layout.without_forms(wrong))
        exact = _by_autograd(source, few)
    rows = source.rows(few)
    found = {layer.name: rows.layers[k].dense() for k, layer in enumerate(source.model_layout.layers)}
    bad = [name for name, dense in found.items() if not _close(dense, exact[name], source.dtype)]
    if bad:
        raise EstimatorError(f"gradients of single instances in {', '.join(bad)} differ from autograd's: a bug of ours")
    return source


def _refuse_mixing(source: GradientSource, few: Instances) -> None:
    with torch.no_grad():
        together = source.objective.losses(few)
        alone = torch.cat([source.objective.losses(few[i : i + 1]) for i in range(len(few))])
    if not _close(together, alone, source.dtype):
        raise EstimatorError(
            "losses of instances in a batch differ from those of the same instances alone, in evaluation mode: the "
            "model mixes the instances of a batch or draws random numbers, so single instances have no gradients"
        )


def _agrees(source: GradientSource, name: str, few: Instances, exact: Mapping[str, Tensor]) -> bool:
    alone = Layout(tuple(layer for layer in source.model_layout.layers if layer.name == name))
    try:
        rows = captured(source.objective, alone, few)
    except (EstimatorError, RuntimeError, IndexError, AttributeError):
        return False
    return _close(rows.layers[0].dense(), exact[name], source.dtype)


def _by_autograd(source: GradientSource, few: Instances) -> dict[str, Tensor]:
    """Gradients [b, p_l] of each layer, one instance at a time."""
    module = source.objective.module
    parameters = [module.get_parameter(name) for name in source.model_layout.parameters]
    rows = []
    for i in range(len(few)):
        loss = source.objective.losses(few[i : i + 1])[0]
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, parameters, strict=True)]
        rows.append(torch.cat([each.flatten() for each in flat]))
    stacked = torch.stack(rows)
    return {
        layer.name: part
        for layer, part in zip(source.model_layout.layers, source.model_layout.split(stacked), strict=True)
    }


def _close(found: Tensor, exact: Tensor, dtype: torch.dtype) -> bool:
    scale = float(exact.double().norm()) or 1.0
    return found.shape == exact.shape and float((found.double() - exact.double()).norm()) <= AGREEMENT[dtype] * scale


def _rows_at_once(source: GradientSource, few: Instances) -> int:
    """Rows of a block, from the floats that one instance's captured gradients and activations take."""
    floats = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal floats
        floats += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        rows = captured(source.objective, source.model_layout, few)
    held = sum(
        tensor.numel()
        for layer in rows.layers
        for tensor in (getattr(layer, name, None) for name in ("rows", "inputs", "images", "slopes"))
        if isinstance(tensor, Tensor)
    )
    shared = sum(parameter.numel() for parameter in source.objective.module.parameters())
    each = (max(floats - shared, 0) + held) // len(few) + 1
    most = IMAGE_ROWS if source.channels_last else MOST_ROWS
    return max(1, min(most, BLOCK_FLOATS // each))
