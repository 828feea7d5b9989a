"""One retrain on several devices: copies of its network, the batch in parts, gradients summed on the first device.

Parts are fixed places of the batch and gradients are added in the order of the devices, so that the bits are a function
of the number of devices, and the result is that of one device to rounding.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workers.errors import LearnerError
from workers.learners.torch_dropout import counted
from workers.learners.torch_losses import widened
from workers.learners.torch_objective import Objective


def devices_of_retrain(device: str, count: int) -> tuple[str, ...]:
    """Names of the `count` devices that one retrain takes, the first is `device`: the GPUs visible here, or the CPU.

    Where fewer GPUs are visible (the driver's smoke retrain), several copies stand on one of them.
    """
    if not device.startswith("cuda"):
        return (device,) * count
    if count == 1:
        return (device,)
    visible, first = max(1, torch.cuda.device_count()), torch.device(device).index or 0
    return tuple(f"cuda:{(first + place) % visible}" for place in range(count))


def check_replicas(devices: Sequence[str], *, normalises_batches: bool, model: str) -> None:
    """Raises LearnerError where a network's batches cannot be parted."""
    if len(devices) > 1 and normalises_batches:
        raise LearnerError(
            f"workers.gpus: {model} normalises batches, and each of {len(devices)} devices would see a part of one:"
            " take GroupNorm or LayerNorm, or one GPU a worker: workers: {gpus: 1}"
        )


class Replicas:
    """A network and its copies on the other devices; with one device, the network alone."""

    def __init__(self, module: nn.Module, devices: Sequence[str]) -> None:
        self._all = [module, *(copy.deepcopy(module).to(device) for device in devices[1:])]
        self._devices = list(devices)
        self._dropouts = [counted(each) for each in self._all]

    def gradients(self, objective: Objective, inputs: Tensor, labels: Tensor, coefficients: Tensor) -> None:
        """Leave in the network's `.grad` the gradient of sum_b coefficients[b] loss[b]; all [B, ...], on the first."""
        if len(self._all) > 1:
            self._share()
        length = -(-len(labels) // len(self._all))
        losses = []
        for place, (module, device) in enumerate(zip(self._all, self._devices, strict=True)):
            part = slice(place * length, (place + 1) * length)
            own, weights = labels[part].to(device), coefficients[part].to(device)
            if not len(own):
                break
            for layer in self._dropouts[place]:
                layer.part = (part.start, len(own))
            each = objective.each(widened(module(inputs[part].to(device))), own)
            losses.append((each * weights).sum())
        torch.autograd.backward(losses)  # one call: each device has a thread of its own
        self._collect()

    @torch.no_grad()
    def _share(self) -> None:
        """Give the copies the network's parameters and buffers."""
        for other in self._all[1:]:
            for own, given in zip(_tensors(other), _tensors(self._all[0]), strict=True):
                own.copy_(given, non_blocking=True)
                own.grad = None

    @torch.no_grad()
    def _collect(self) -> None:
        for other in self._all[1:]:
            for given, own in zip(other.parameters(), self._all[0].parameters(), strict=True):
                if given.grad is None:
                    continue
                found = given.grad.to(own.device)
                own.grad = found.clone() if own.grad is None else own.grad.add_(found)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
