"""Functions of the user's that a network trains with: a loss, an augmentation, losses to keep."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from estimators.seeding import derive_seed
from workers.code_snapshot import parse_reference
from workers.errors import LearnerError
from workers.learner_specs import TorchSpec
from workers.learners.torch_losses import UserLoss
from workers.learners.torch_module import described
from workers.losses import OFFERED, loss_name
from workers.out_of_memory import is_out_of_memory
from workers.user_code import CodeSnapshot, load_object

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""augment(inputs [B, ...], generator) -> the same shape; each instance by itself."""


@dataclass(frozen=True, slots=True)
class UserFunctions:
    """The functions that a spec names. kept: losses to keep, by name."""

    loss: UserLoss | None = None
    augment: Augmentation | None = None
    kept: Mapping[str, UserLoss] = field(default_factory=dict)


def user_functions(spec: TorchSpec, code: CodeSnapshot) -> UserFunctions:
    """Load them.

    Raises:
        LearnerError: one stands in another file than the model, is no function, or has a name that is taken.
        UserCodeError: one cannot be loaded.
    """
    kept = {loss_name(text): _loaded("losses", text, spec, code) for text in spec.losses if ":" in text}
    taken = sorted(set(kept) & {name for names in OFFERED.values() for name in names})
    if taken:
        raise LearnerError(f"learner.losses: a function may not be called {taken[0]}, which is a loss of ours")
    return UserFunctions(
        loss=None if spec.loss is None else _loaded("loss", spec.loss, spec, code),
        augment=None if spec.augment is None else _loaded("augment", spec.augment, spec, code),
        kept=kept,
    )


def _loaded(key: str, text: str, spec: TorchSpec, code: CodeSnapshot) -> Callable[..., Tensor]:
    own, model = parse_reference(text), parse_reference(spec.model)
    if (own.file, own.module) != (model.file, model.module):
        raise LearnerError(
            f"learner.{key}: {text} stands in another file than the model ({spec.model}): import it there, and write"
            f" {spec.model.rpartition(':')[0]}:{own.name}"
        )
    found = load_object(text, code)
    if not callable(found) or isinstance(found, type):
        raise LearnerError(f"learner.{key}: {text} is a {type(found).__name__}, expected a function")
    return _guarded(f"learner.{key}: {text}", found)


def _guarded(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, whose own errors become a LearnerError that names it; a lack of memory stays one."""

    @functools.wraps(function)
    def call(*arguments: object) -> Tensor:
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise
            raise LearnerError(f"{name} fails: {described(error)}") from error

    return call


def augmented(augment: Augmentation, inputs: Tensor, seed: int, step: int) -> Tensor:
    """One retrain's batch at one step, changed by the user's function with a generator of (seed, step) alone.

    Raises:
        LearnerError: the function returns another shape or type.
    """
    generator = torch.Generator(device=inputs.device)
    generator.manual_seed(derive_seed("augment", seed, step) >> 1)
    found = augment(inputs, generator)
    if not isinstance(found, Tensor) or found.shape != inputs.shape or found.dtype != inputs.dtype:
        got = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        name = getattr(augment, "__name__", "augment")
        raise LearnerError(f"augment: {name} returns {got} for inputs {inputs.dtype} {list(inputs.shape)}")
    return found
