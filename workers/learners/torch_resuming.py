"""Networks that stop in the middle of a retrain and go on: a group's state, or a module's with its optimizer."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from estimators.arrays import AnyArray
from workers.checkpointing import GroupCheckpoints
from workers.learners.torch_group import GroupTraining
from workers.learners.torch_state import GroupState

_GENERATOR = "generator"
_CUDA = "generator.cuda"
_BESIDE = "beside."


def run_resumably(training: GroupTraining, state: GroupState, checkpoints: GroupCheckpoints | None) -> None:
    """Train a group to its end, from its newest checkpoint where there is one, with a new one at each interval."""
    if checkpoints is None:
        training.run()
        return
    found = checkpoints.latest()
    if found is not None:
        state.restore({name: _tensor(array) for name, array in found.items()})
    checkpoints.due()
    stride = 1
    while not training.finished:
        began, first = checkpoints.clock(), state.step
        training.run(until=state.step + stride)
        if checkpoints.due() and not training.finished:
            checkpoints.save(state.step, {name: tensor.numpy() for name, tensor in state.tensors().items()})
        seconds = max(checkpoints.clock() - began, 1e-9) / max(state.step - first, 1)
        stride = max(1, min(2 * stride, int(0.25 * checkpoints.every / seconds)))


class ModuleCheckpoints:
    """A module's training, one step after the other: parameters, buffers, the optimizer and random numbers."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        devices: Sequence[str],
        checkpoints: GroupCheckpoints,
    ) -> None:
        self._module, self._optimizer, self._checkpoints = module, optimizer, checkpoints
        self._gpus = list(dict.fromkeys(device for device in devices if device.startswith("cuda")))

    def restore(self) -> dict[str, Tensor]:
        """Go back to the newest state; returns what stood beside it (see `after`), nothing where there is none."""
        self._checkpoints.due()
        found = self._checkpoints.latest()
        if found is None:
            return {}
        tensors = {name: _tensor(array) for name, array in found.items()}
        state = {name.removeprefix("module."): t for name, t in tensors.items() if name.startswith("module.")}
        self._module.load_state_dict(state)
        held = self._optimizer.state_dict()
        held["state"] = _unflattened(tensors)
        self._optimizer.load_state_dict(held)
        torch.set_rng_state(tensors[_GENERATOR])
        for place, gpu in enumerate(self._gpus):
            torch.cuda.set_rng_state(tensors[f"{_CUDA}.{place}"], gpu)
        return {name.removeprefix(_BESIDE): t for name, t in tensors.items() if name.startswith(_BESIDE)}

    def after(self, step: int, beside: Callable[[], Mapping[str, Tensor]]) -> None:
        """Keep the state after `step` steps where it is time, and what the training holds beside the module."""
        if not self._checkpoints.due():
            return
        tensors: dict[str, Tensor] = {f"module.{name}": t for name, t in self._module.state_dict().items()}
        for place, parts in self._optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{place}.{name}": torch.as_tensor(part) for name, part in parts.items() if part is not None
            }
        tensors |= {_GENERATOR: torch.get_rng_state()} | {f"{_BESIDE}{name}": t for name, t in beside().items()}
        for place, gpu in enumerate(self._gpus):
            tensors[f"{_CUDA}.{place}"] = torch.cuda.get_rng_state(gpu)
        arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
        self._checkpoints.save(step, arrays)


def module_checkpoints(
    module: nn.Module, optimizer: torch.optim.Optimizer, devices: Sequence[str], checkpoints: GroupCheckpoints | None
) -> ModuleCheckpoints | None:
    """Checkpoints of a module's training, None where none are kept."""
    return None if checkpoints is None else ModuleCheckpoints(module, optimizer, devices, checkpoints)


def _unflattened(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for place, name, tensor in _optimizer_parts(tensors):
        state.setdefault(place, {})[name] = tensor
    return state


def _optimizer_parts(tensors: Mapping[str, Tensor]) -> Iterator[tuple[int, str, Tensor]]:
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            place, _, part = name.removeprefix("optimizer.").partition(".")
            yield int(place), part, tensor


def _tensor(array: AnyArray) -> Tensor:
    return torch.from_numpy(array.copy())
