"""Per-instance gradients of parameters that no layer form covers: differentiated through the whole model."""

import warnings
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from estimators.gradient.forms import Dense
from estimators.gradient.layout import Layer
from estimators.gradient.objective import Instances, Objective


class _Loss(torch.nn.Module):
    """An objective's losses as a module, so that a functional call can replace its parameters."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.model = objective.module
        self._objective = objective

    def forward(self, features: Tensor, labels: Tensor, noise: Tensor | None) -> Tensor:
        return self._objective.losses(Instances(features[None], labels[None], None, noise))[0]


def rows_through_model(objective: Objective, layer: Layer, instances: Instances) -> Dense:
    """Gradients [b, p_l] by vmap over instances, or one after the other where that fails; every use counts."""
    try:
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
            warnings.filterwarnings("ignore", message=".*performance drop.*")  # the rows are right all the same
            dense = _batched(objective, layer, instances)
    except Exception:  # noqa: BLE001 - whatever vmap cannot do is a reason to loop, not to fail
        dense = _looped(objective, layer, instances)
    dense = dense.float() if dense.dtype == torch.bfloat16 else dense
    return Dense(dense if instances.weights is None else dense * instances.weights[:, None])


def _batched(objective: Objective, layer: Layer, instances: Instances) -> Tensor:
    lossy = _Loss(objective)
    fixed = {f"model.{name}": parameter.detach() for name, parameter in objective.module.named_parameters()}
    chosen = {f"model.{name}": fixed.pop(f"model.{name}") for name in layer.parameters}

    def loss(parameters: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = functional_call(
            lossy, fixed | parameters, (features, labels, instances.noise), tie_weights=True
        )
        return found

    rows = vmap(grad(loss), in_dims=(None, 0, 0))(chosen, instances.features, instances.labels)
    return torch.cat([rows[f"model.{name}"].flatten(1) for name in layer.parameters], dim=1)


def _looped(objective: Objective, layer: Layer, instances: Instances) -> Tensor:
    parameters = [objective.module.get_parameter(name) for name in layer.parameters]
    rows = []
    for i in range(len(instances)):
        one = replace(instances[i : i + 1], weights=None)
        with torch.enable_grad():
            loss = objective.losses(one)[0]
        rows.append(torch.autograd.grad(loss, parameters, materialize_grads=True))
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
