"""The state of K retrains in the middle of training: everything that goes on from a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


@dataclass(slots=True)
class GroupState:
    """K models under training.

    flat: trained parameters [K, P]. fixed: what is not trained, each [K, ...]. moments: the optimizer's, each
    [K, P]. step: steps done by the group. kept: [K, P], the parameters of models that are done. done: [K] bool.
    best, waited: early stopping's lowest validation loss [K] and epochs since then [K].

    Random numbers need no state: batches, dropout and augmentation come from (seed, epoch or step) alone.
    """

    flat: Tensor
    fixed: Tensors
    moments: Tensors
    step: int
    kept: Tensor
    done: Tensor
    best: Tensor
    waited: Tensor

    @staticmethod
    def fresh(flat: Tensor, fixed: Tensors, moments: int) -> "GroupState":
        """Before the first step, with `moments` zero moments."""
        count = len(flat)
        return GroupState(
            flat=flat,
            fixed=fixed,
            moments=tuple(torch.zeros_like(flat) for _ in range(moments)),
            step=0,
            kept=flat.clone(),
            done=torch.zeros(count, dtype=torch.bool),
            best=torch.full((count,), torch.inf, dtype=torch.float64),
            waited=torch.zeros(count, dtype=torch.int64),
        )

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by name, on the CPU, to be written as safetensors."""
        named = {
            "flat": self.flat,
            "kept": self.kept,
            "done": self.done,
            "best": self.best,
            "waited": self.waited,
            "step": torch.tensor(self.step),
        }
        named |= {f"fixed.{i}": tensor for i, tensor in enumerate(self.fixed)}
        named |= {f"moments.{i}": tensor for i, tensor in enumerate(self.moments)}
        return {name: tensor.detach().cpu().clone() for name, tensor in named.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state that `tensors` gave for the same models; raises KeyError where a part is missing."""
        own = {"flat": self.flat, "kept": self.kept, "done": self.done, "best": self.best, "waited": self.waited}
        own |= {f"fixed.{i}": tensor for i, tensor in enumerate(self.fixed)}
        own |= {f"moments.{i}": tensor for i, tensor in enumerate(self.moments)}
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])
        self.step = int(tensors["step"])


def keep_models(state: GroupState, chosen: Tensor) -> None:
    """Keep the present parameters of the models chosen, [K] bool."""
    if bool(chosen.any()):
        rows = chosen.nonzero().squeeze(1).to(state.flat.device)
        state.kept[rows] = state.flat[rows]
