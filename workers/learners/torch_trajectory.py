"""Networks that record their run: one retrain, its steps taken by PyTorch's own optimizer, watched from outside."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import BoolArray, IntArray
from estimators.seeding import derive_seed
from workers.errors import LearnerError
from workers.learner_specs import TorchSpec
from workers.learners.torch_batches import BatchStream
from workers.learners.torch_looped import LoopedTraining, module_losses
from workers.learners.torch_module import seeded
from workers.learners.torch_precision import computing
from workers.learners.torch_setting import TrainingSetting
from workers.trajectory import FALL, RecordedRun, TrajectoryMode

MOST_BYTES = 8 * 2**30
_STATES = {"momentum_buffer": "momentum", "exp_avg": "mean", "exp_avg_sq": "square"}


def recorded_run(setting: TrainingSetting, members: BoolArray, seed: int, mode: TrajectoryMode) -> RecordedRun:
    """The retrain on members [n] with its seed, recorded; the same bits each time on one numeric class.

    Raises:
        LearnerError: nothing is trained, or what is to be kept exceeds 8 GiB.
    """
    setting = dataclasses.replace(setting, checkpoints=None)
    device, stream = setting.data.device, setting.stream(members, seed)
    module = setting.factory.build(seed).to(device)
    with seeded(derive_seed("forward", seed), device), computing(setting.spec.precision, device):
        training = LoopedTraining(setting, module, stream)
        if training.optimizer is None or not stream.steps:
            raise LearnerError("trajectory: this retrain takes no step: nothing is trained, or the subset is empty")
        recorder = _Recorder(setting, training, stream, mode)
        training.watch = recorder.before
        training.run()
    return recorder.finished()


def step_facts(spec: TorchSpec) -> dict[str, Any]:
    """How parameters move, as numbers and names that JSON can hold."""
    rule = spec.optimizer
    return {
        "optimizer": rule.name,
        "momentum": rule.momentum if rule.name == "sgd" else 0.0,
        "nesterov": rule.nesterov,
        "weight_decay": rule.weight_decay,
        "betas": list(rule.betas),
        "eps": rule.eps,
        "clip_norm": spec.clip_norm,
        "early_stopping": spec.early_stopping is not None,
    }


class _Recorder:
    """Sees every step before it is taken, and keeps those that the mode asks for."""

    def __init__(
        self, setting: TrainingSetting, training: LoopedTraining, stream: BatchStream, mode: TrajectoryMode
    ) -> None:
        self._setting, self._training, self._stream, self._mode = setting, training, stream, mode
        self._names = {each: name for name, each in training.module.named_parameters()}
        self._models: list[dict[str, Tensor]] = []
        self._optimizer: list[dict[str, Tensor]] = []
        self._steps: list[int] = []
        self._rates: list[float] = []
        self._batches: list[IntArray] = []
        self._loss = np.inf
        self._refuse_too_much()

    def before(self, step: int, batch: IntArray, rate: float) -> None:
        """Step number `step` is about to be taken on the rows `batch` at `rate`."""
        if not self._wanted(step):
            return
        self._models.append(self._state())
        self._optimizer.append(self._moments())
        self._steps.append(step)
        self._rates.append(rate)
        self._batches.append(batch.copy())

    def finished(self) -> RecordedRun:
        """Everything kept, and the model at the end."""
        taken = self._training.state.step
        models = [*self._models, self._state()]
        return RecordedRun(
            models={name: _stacked([each[name] for each in models]) for name in models[0]},
            optimizer={name: _stacked([each[name] for each in self._optimizer]) for name in self._optimizer[0]},
            steps=np.array(self._steps, dtype=np.int64),
            rates=np.array(self._rates),
            spans=np.diff([*self._steps, taken]).astype(np.int64),
            batches=tuple(self._batches),
            facts={**step_facts(self._setting.spec), "steps": taken, "precision": self._setting.spec.precision},
        )

    def _wanted(self, step: int) -> bool:
        if self._mode.kind == "all":
            return True
        epoch, place = divmod(step, self._stream.steps_per_epoch)
        if place:
            return False
        if self._mode.kind == "epochs":
            return epoch % self._mode.epochs == 0
        loss = self._training_loss()
        fallen = loss <= FALL * self._loss
        self._loss = loss if fallen else self._loss
        return fallen

    def _training_loss(self) -> float:
        setting, module = self._setting, self._training.module
        name = setting.objective.name
        module.eval()
        found = module_losses(setting, module, setting.data.train_features, setting.data.train_labels, (name,))[name]
        module.train()
        return float(found[0, torch.from_numpy(self._stream.members).to(found.device)].double().mean())

    def _state(self) -> dict[str, Tensor]:
        return {name: each.detach().cpu().clone() for name, each in self._training.module.state_dict().items()}

    def _moments(self) -> dict[str, Tensor]:
        """The optimiser's state by the names of the parameters; zeros before the first step."""
        optimizer = self._training.optimizer
        assert optimizer is not None, "recorded_run refuses a run without one"
        spec = self._setting.spec.optimizer
        kinds = ("mean", "square") if spec.name != "sgd" else ("momentum",) if spec.momentum else ()
        found: dict[str, Tensor] = {}
        for parameter in (each for group in optimizer.param_groups for each in group["params"]):
            name, held = self._names[parameter], optimizer.state.get(parameter, {})
            named = {_STATES[key]: value for key, value in held.items() if key in _STATES and value is not None}
            for kind in kinds:
                value = named.get(kind, torch.zeros_like(parameter))
                found[f"{kind}.{name}"] = value.detach().cpu().clone()
        return found

    def _refuse_too_much(self) -> None:
        stream, mode = self._stream, self._mode
        kept = stream.steps if mode.kind == "all" else -(-stream.epochs // max(1, mode.epochs))
        size = sum(each.nbytes for each in self._state().values()) + sum(e.nbytes for e in self._moments().values())
        if kept * size > MOST_BYTES:
            raise LearnerError(
                f"trajectory: {kept:,} checkpoints of {size / 1e6:,.1f} MB are {kept * size / 1e9:,.1f} GB: take fewer,"
                " such as `every 30 epochs`"
            )


def _stacked(tensors: list[Tensor]) -> np.ndarray[Any, Any]:
    return torch.stack(tensors).numpy()
