"""A data set as tensors that stay on the device."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from workers.dataset import Dataset, Task
from workers.errors import LearnerError
from workers.mapped_array import is_mapped


@dataclass(frozen=True, slots=True)
class TorchData:
    """Training and test instances on a device.

    Features of a float type are float32; integers and booleans reach the network as int64, but are kept in the type
    they came in. Labels are int64 class codes or float32 targets. order: positions of the training rows sorted by
    identity.
    """

    task: Task
    classes: int
    device: str
    train_features: Tensor
    train_labels: Tensor
    test_features: Tensor
    test_labels: Tensor
    order: IntArray
    weights: FloatArray | None
    validation_features: Tensor | None = None
    validation_labels: Tensor | None = None

    @property
    def n(self) -> int:
        """Number of training rows."""
        return len(self.train_labels)

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return len(self.test_labels)

    def members(self, row: BoolArray) -> IntArray:
        """Positions [m] of a subset's training rows, given as a boolean row [n], sorted by identity."""
        chosen: IntArray = self.order[row[self.order]]
        return chosen


def torch_data(data: Dataset, device: str, class_weights: Mapping[str, float] | None = None) -> TorchData:
    """The data set on the device; class_weights, by label, multiply the instances' weights.

    Raises:
        LearnerError: features that are no numbers, a classification with fewer than two classes, or weights of
            classes that are not there.
    """
    if data.task == "classification" and len(data.classes) < 2:
        raise LearnerError(f"classification needs two classes or more; the labels have {len(data.classes)}")
    label_type = np.int64 if data.task == "classification" else np.float32
    return TorchData(
        task=data.task,
        classes=len(data.classes),
        device=device,
        train_features=_features(data.train_features, "training", "cpu" if is_mapped(data.train_features) else device),
        train_labels=_tensor(data.train_labels.astype(label_type, copy=False), device),
        test_features=_features(data.test_features, "test", device),
        test_labels=_tensor(data.test_labels.astype(label_type, copy=False), device),
        order=np.arange(data.rows, dtype=np.int64) if data.order is None else data.order,
        weights=_weights(data, class_weights),
        validation_features=_optional(data.validation_features, lambda x: _features(x, "validation", device)),
        validation_labels=_optional(data.validation_labels, lambda y: _tensor(y.astype(label_type), device)),
    )


def _optional(array: AnyArray | None, made: Callable[[AnyArray], Tensor]) -> Tensor | None:
    return None if array is None else made(array)


def _weights(data: Dataset, class_weights: Mapping[str, float] | None) -> FloatArray | None:
    if class_weights is None:
        return data.weights
    unknown = sorted(set(class_weights) - set(data.classes))
    if data.task == "regression" or unknown:
        why = "the task is regression" if data.task == "regression" else f"there is no class {', '.join(unknown)}"
        raise LearnerError(
            f"learner.class_weights: {why}; the classes are {', '.join(data.classes) or 'none'} (others weigh 1)"
        )
    each = np.array([class_weights.get(name, 1.0) for name in data.classes])[data.train_labels]
    return each if data.weights is None else each * data.weights


def as_inputs(features: Tensor) -> Tensor:
    """Features as the network gets them: integers as int64."""
    return features if features.is_floating_point() else features.long()


def gather(features: Tensor, rows: Tensor, buffer: Tensor | None) -> tuple[Tensor, Tensor]:
    """Inputs [*rows.shape, ...] of the rows named, and the buffer that holds them, to be given again."""
    count = rows.numel()
    flat = features.view(len(features), -1)
    if flat.device != rows.device:  # features that stay in their file, beside the device
        chosen = torch.index_select(flat, 0, rows.reshape(-1).to(flat.device)).to(rows.device)
        return as_inputs(chosen.view(*rows.shape, *features.shape[1:])), chosen
    if buffer is None or len(buffer) != count:
        buffer = torch.empty(count, flat.shape[1], dtype=flat.dtype, device=flat.device)
    torch.index_select(flat, 0, rows.reshape(-1), out=buffer)
    return as_inputs(buffer.view(*rows.shape, *features.shape[1:])), buffer


def _features(array: AnyArray, which: str, device: str) -> Tensor:
    if array.dtype.kind == "f":
        return _tensor(array.astype(np.float32, copy=False), device)
    if array.dtype.kind in "iub":
        widened = array.astype(np.int64) if array.dtype in (np.uint16, np.uint32, np.uint64) else array
        return _tensor(widened, device)
    raise LearnerError(
        f"{which} features of type {array.dtype} are no numbers; a torch learner takes floats or integers"
    )


def _tensor(array: AnyArray, device: str) -> Tensor:
    with warnings.catch_warnings():
        # Arrays that workers share are read-only; nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)
