"""The user's module: constructed from a seed, and what its outputs must look like."""

import difflib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from estimators.seeding import derive_seed
from workers.dataset import Task
from workers.errors import LearnerError
from workers.learner_specs import Scalar
from workers.learners.torch_dropout import count_dropout


@contextmanager
def seeded(seed: int, *devices: str) -> Iterator[None]:
    """PyTorch's global generators seeded with `seed` inside, and as they were outside; of more GPUs, each otherwise."""
    gpus = list(dict.fromkeys(device for device in devices if device.startswith("cuda")))
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for place, gpu in enumerate(gpus):
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(derive_seed("device", seed, place) >> 1 if place else seed)
        yield


@dataclass(frozen=True, slots=True)
class ModuleFactory:
    """Makes the user's model from a seed. example: one instance as an input [1, ...], for lazy layers."""

    model_class: type[nn.Module]
    arguments: Mapping[str, Scalar]
    example: Tensor

    def build(self, seed: int) -> nn.Module:
        """The initial model, on the CPU, in training mode; its parameters depend on the seed alone."""
        with seeded(seed, "cpu"):
            module = self.model_class(**self.arguments)
            if any(nn.parameter.is_lazy(tensor) for tensor in _tensors(module)):
                with torch.no_grad():
                    module.eval()(self.example)
            count_dropout(module)
        return module.train()


def with_channels_last(module: nn.Module) -> nn.Module:
    """The module with the weights of its convolutions in a plane stored with channels innermost."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return] # torch's stubs


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def checked_class(model_class: object, reference: str) -> type[nn.Module]:
    """`model_class` itself where it is an nn.Module class.

    Raises:
        LearnerError: it is something else, and what.
    """
    if isinstance(model_class, type) and issubclass(model_class, nn.Module):
        return model_class
    what = f"class {model_class.__qualname__}" if isinstance(model_class, type) else f"{type(model_class).__name__}"
    hint = "name the class, not an instance of it" if isinstance(model_class, nn.Module) else "derive it from nn.Module"
    if inspect.isfunction(model_class):
        hint = "wrap the function in a class that derives from nn.Module"
    raise LearnerError(f"model: {reference} must be a class derived from torch.nn.Module, but it is a {what}: {hint}")


def built(factory: ModuleFactory, seed: int, reference: str) -> nn.Module:
    """The model from a seed; a model that cannot be constructed is one clear error.

    Raises:
        LearnerError: the constructor refuses its arguments or fails.
    """
    try:
        return factory.build(seed)
    except Exception as error:
        raise LearnerError(_construction_failed(factory, error, reference)) from error


@contextmanager
def without_exits(reference: str) -> Iterator[None]:
    """Within it, a model that ends the program is an error: it would end the driver, or a worker with all it holds.

    Raises:
        LearnerError: SystemExit was raised.
    """
    try:
        yield
    except SystemExit as error:
        raise LearnerError(
            f"model: {reference} ends the program (sys.exit({error.code!r})): raise an exception instead"
        ) from error


def _construction_failed(factory: ModuleFactory, error: Exception, reference: str) -> str:
    try:
        known = [name for name in inspect.signature(factory.model_class).parameters if name != "self"]
    except (TypeError, ValueError):
        known = []
    given = ", ".join(f"{name}={value!r}" for name, value in factory.arguments.items()) or "nothing"
    message = f"model: {reference} cannot be constructed with {given}: {described(error)}"
    unknown = [name for name in factory.arguments if known and name not in known]
    near = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{message}{hint} (its arguments are {', '.join(known) or 'none'}; give them under learner.arguments)"


def described(error: BaseException) -> str:
    """What an error of the user's code says, with the last line of theirs that raised it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_library(f.filename)]
    where = f" ({frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""
    text = str(error).strip()
    return f"{type(error).__name__}: {text if len(text) <= 500 else text[:500] + ' ...'}{where}"


def _is_library(filename: str) -> bool:
    path = filename.replace("\\", "/")
    return (
        "site-packages/" in path
        or path.startswith("<")
        or path.endswith(__name__.replace(".", "/") + ".py")
        or ("/workers/learners/torch_" in path)
    )


def check_outputs(outputs: object, *, rows: int, task: Task, classes: int, reference: str) -> Tensor:
    """`outputs` itself where its shape is right for `rows` instances.

    Raises:
        LearnerError: the shape seen and the one wanted.
    """
    wanted = f"[{rows}, {classes}] (a logit for each of {classes} classes)"
    if task == "regression":
        wanted = f"[{rows}] or [{rows}, 1] (one number an instance)"
    if not isinstance(outputs, Tensor):
        raise LearnerError(
            f"model: {reference} returns a {type(outputs).__name__} for {rows} rows; wanted a tensor {wanted}"
        )
    shapes = [(rows, classes)] if task == "classification" else [(rows,), (rows, 1)]
    if tuple(outputs.shape) not in shapes:
        raise LearnerError(f"model: {reference} returns shape {list(outputs.shape)} for {rows} rows; wanted {wanted}")
    if not outputs.is_floating_point():
        raise LearnerError(f"model: {reference} returns {outputs.dtype}; wanted floating-point numbers {wanted}")
    return outputs
