"""The torch learner: any nn.Module class of the user's, K subsets trained together where the model allows it."""

import copy
import dataclasses

import numpy as np
from torch import nn

from estimators.arrays import BoolArray, Float32Array, IntArray, SeedArray
from workers.checkpointing import GroupCheckpoints
from workers.dataset import Dataset
from workers.device import choose_device, device_memory, evaluation_rows, free_memory, models_together
from workers.errors import LearnerError
from workers.keeping import Models
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import TorchSpec
from workers.learners.torch_batches import batch_width
from workers.learners.torch_data import as_inputs, torch_data
from workers.learners.torch_functions import UserFunctions
from workers.learners.torch_keeping import losses_of_models, trained_models
from workers.learners.torch_looped import LoopedTrainer
from workers.learners.torch_module import ModuleFactory, checked_class, without_exits
from workers.learners.torch_numerics import bits_depend_on, numeric_class, smaller_groups
from workers.learners.torch_objective import objective_of
from workers.learners.torch_pilot import pilot_sizes, step_seconds
from workers.learners.torch_replicas import check_replicas, devices_of_retrain
from workers.learners.torch_setting import TrainingSetting
from workers.learners.torch_stopping import check_stopping
from workers.learners.torch_together import TogetherTrainer
from workers.learners.torch_trajectory import recorded_run
from workers.learners.torch_trial import trial
from workers.learners.torch_unread import check_read
from workers.learners.torch_walk import TorchWalk
from workers.losses import OFFERED, kept_losses, loss_name
from workers.trajectory import RecordedRun, TrajectoryMode

ARITHMETIC_VERSION = 2
"""Raised when the same subset and seed would give other bits: 2 since steps are written by hand."""


class TorchLearner:
    """Minibatch training of the user's network (`spec`) on subsets of `data`.

    Training loss: cross-entropy of logits [B, C], the squared error of outputs [B] or [B, 1], or a function of the
    user's, as a mean over the batch's rows weighted by instance and class weights. Each epoch runs through a
    permutation, from (seed, epoch), of the members sorted by identity, in batches of `batch_size`, the last one shorter
    (with batch normalisation, a last batch of a single instance is left out). Initial parameters: the module
    constructed with PyTorch's generator seeded by the retrain's seed. The empty subset gives the untrained model.

    Row k depends on (members[k], seeds[k]) alone, in every bit for a given numeric class; where a model keeps its bits
    for one K only, or not even then, the numeric class says so.

    together: K, over `spec.together`. device: over `spec.device` unless "auto". devices: how many one looped retrain
    takes, or their names, the first that of the data (`torch_replicas`).

    Raises:
        LearnerError: the model, the data and the job do not fit together.
        DeviceError: the device is not there.
    """

    def __init__(
        self,
        spec: TorchSpec,
        data: Dataset,
        model_class: type[nn.Module],
        *,
        functions: UserFunctions | None = None,
        device: str = "auto",
        together: int | None = None,
        devices: int | tuple[str, ...] = 1,
    ) -> None:
        self._spec = spec if together is None else dataclasses.replace(spec, together=together)
        self._device = choose_device(spec.device if device == "auto" else device)
        self._devices = devices_of_retrain(self._device, devices) if isinstance(devices, int) else devices
        self._functions = UserFunctions() if functions is None else functions
        names = tuple(loss_name(loss) for loss in spec.losses)
        self._kept = kept_losses(names, data.task, offered=(*OFFERED[data.task], *self._functions.kept))
        check_read(spec)
        self._objective = objective_of(spec, data.task, self._functions.loss)
        self._data = torch_data(data, self._device, spec.class_weights)
        check_stopping(spec, self._data)
        self._factory = ModuleFactory(
            model_class=checked_class(model_class, spec.model),
            arguments=spec.arguments,
            example=as_inputs(self._data.train_features[:1].cpu()),
        )
        with without_exits(spec.model):
            self._report = trial(self._factory, self._data, spec.model, by_hand=spec.precision != "bfloat16")
        check_replicas(self._devices, normalises_batches=self._report.normalises_batches, model=spec.model)
        self._setting = self._make_setting()
        self._together, self._reason = self._choose_together()
        self._trainer = self._make_trainer(self._together)
        self._bits_depend = ""
        self._try_bits()

    def _make_setting(self) -> TrainingSetting:
        return TrainingSetting(
            spec=self._spec,
            data=self._data,
            factory=self._factory,
            kept=self._kept,
            objective=self._objective,
            functions=self._functions,
            evaluation_rows=evaluation_rows(instance_floats=self._report.instance_floats, device=self._device),
            skip_single=self._report.normalises_batches,
            channels_last=self._report.channels_last,
            devices=self._devices,
        )

    def _choose_together(self) -> tuple[int, str]:
        """K, and why it is 1 where models are looped."""
        report = self._report
        if report.stacked is None:
            return 1, report.reason
        if self._spec.together != "auto":
            asked = self._spec.together
            return asked, "" if asked > 1 else "chosen by the pilot or asked for by together: 1"
        if len(self._devices) > 1:
            return 1, f"each retrain takes {len(self._devices)} devices"
        if report.convolutional and self._device == "cpu":
            return 1, "on a CPU, convolutions are faster one model at a time (an integer for together overrides)"
        chosen = self._most_together(by_memory_alone=False)
        if chosen < (4 if self._device == "cpu" else 2):
            return 1, "models this large gain nothing from being trained together (an integer for together overrides)"
        return chosen, ""

    def _most_together(self, *, by_memory_alone: bool) -> int:
        report = self._report
        return models_together(
            parameters=report.parameters,
            instance_floats=report.instance_floats,
            batch_rows=batch_width(self._spec.batch_size, self._data.n),
            evaluation_rows=self._setting.evaluation_rows,
            n_evaluated=len(self._kept) * (self._data.n_test + self._spec.train_losses * self._data.n),
            device=self._device,
            memory=free_memory(self._device) if by_memory_alone else device_memory(self._device),
            by_memory_alone=by_memory_alone,
        )

    def _make_trainer(self, together: int) -> LoopedTrainer | TogetherTrainer:
        if self._report.stacked is None or together == 1:
            return LoopedTrainer(setting=self._setting)
        return TogetherTrainer(setting=self._setting, model=self._report.stacked, together=together)

    @property
    def setting(self) -> TrainingSetting:
        """Data, model and objective as they are trained."""
        return self._setting

    @property
    def n(self) -> int:
        """Length of a row of members."""
        return self._data.n

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return self._data.n_test

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses returned."""
        return self._kept

    @property
    def together(self) -> int:
        """K, how many retrains train together; 1 where they are looped."""
        return self._together

    @property
    def pilot_sizes(self) -> tuple[int, ...]:
        """Sizes among which a pilot may choose K; none where the job names K or models can only be looped."""
        if self._report.stacked is None or self._spec.together != "auto" or len(self._devices) > 1:
            return ()
        return pilot_sizes(self._device, self._most_together(by_memory_alone=True))

    def pilot_seconds(self, together: int, steps: int) -> float:
        """Seconds of one model's training step where `together` models train side by side, or one alone."""
        return step_seconds(self._make_trainer(together), steps)

    @property
    def traits(self) -> LearnerTraits:
        """What the learner declares of itself."""
        return LearnerTraits(
            deterministic=False, membership="gathers", together=self._together > 1, reason=self._reason
        )

    @property
    def numeric_class(self) -> str:
        """Version, device, precision and threads; K where the bits depend on it."""
        parted = f", {len(self._devices)} devices a retrain" if len(self._devices) > 1 and self._together == 1 else ""
        products = "" if self._spec.precision == "float32" else f" by {self._spec.precision}"
        return numeric_class(
            self._device,
            f"{self._report.precision}{products}{parted}",
            together=self._together,
            bits_depend=self._bits_depend,
        )

    def with_together(self, together: int) -> "TorchLearner":
        """The same learner with another K (after running out of memory, for one); data and model are shared."""
        if together < 1:
            raise LearnerError(f"together must be 1 or more, not {together}")
        other = copy.copy(self)
        other._train_together(together)  # noqa: SLF001 - its own class
        return other

    def _train_together(self, together: int) -> None:
        before = self._together
        self._spec = dataclasses.replace(self._spec, together=together)
        self._together, self._reason = self._choose_together()
        self._trainer = self._make_trainer(self._together)
        self._try_bits(before)

    def _try_bits(self, tried: int = 1) -> None:
        """What a row's bits depend on; where not on K, a group of few need not be filled up to it.

        tried: up to this K it was tried already.
        """
        if not isinstance(self._trainer, TogetherTrainer):
            return
        if self._together > tried:
            self._bits_depend = bits_depend_on(self._trainer)
        if not self._bits_depend:
            self._trainer = dataclasses.replace(self._trainer, smaller=smaller_groups(self._together))

    def trained(self, members: BoolArray, seeds: SeedArray) -> Models:
        """Models of retrains: parameters and buffers by the names of the network's state dict, each [R, ...]."""
        with without_exits(self._spec.model):
            return trained_models(self._trainer, members.astype(np.bool_, copy=False), seeds)

    def recorded(self, members: BoolArray, seed: int, mode: TrajectoryMode) -> RecordedRun:
        """The run of one retrain, see `workers.trajectory`; looped, whatever K is."""
        return recorded_run(self._setting, members.astype(np.bool_, copy=False), seed, mode)

    def losses_of(self, models: Models) -> Losses:
        """Losses of kept models, see `workers.keeping`."""
        return losses_of_models(self._trainer, models)

    def resuming(self, checkpoints: GroupCheckpoints) -> "TorchLearner":
        """The same learner for one group of retrains that keeps states in its middle, see `workers.checkpointing`."""
        other = copy.copy(self)
        other._trainer = dataclasses.replace(  # noqa: SLF001 - its own class
            self._trainer, setting=dataclasses.replace(self._trainer.setting, checkpoints=checkpoints)
        )
        return other

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Train on each row of members [R, n] with its seed [R]; losses [R, n_test], and [R, n] on the training set.

        Raises:
            LearnerError: members or seeds of another shape.
        """
        if members.ndim != 2 or members.shape[1] != self.n or seeds.shape != (len(members),):
            raise LearnerError(
                f"members {list(members.shape)} and seeds {list(seeds.shape)} do not fit; wanted [R, {self.n}] and [R]"
            )
        if len(members) == 0:
            return self._nothing()
        with without_exits(self._spec.model):
            return self._trainer.retrain(members.astype(np.bool_, copy=False), seeds)

    def walk(self, orders: IntArray, seeds: SeedArray, *, rate: float, columns: IntArray) -> dict[str, Float32Array]:
        """Losses of walks over orders [R, n] from the initialisations of seeds [R], see `workers.walking`.

        Raises:
            LearnerError: the network normalises batches, and a batch of one instance has no variance.
        """
        if self._report.normalises_batches:
            raise LearnerError(
                f"design walk: {self._spec.model} normalises batches, and a walk's batches are single instances:"
                " take GroupNorm or LayerNorm, or the design permutation, which retrains on prefixes"
            )
        model = self._report.stacked if self._together > 1 else None
        return TorchWalk(self._setting, model, self._together).walk(orders, seeds, rate=rate, columns=columns)

    def _nothing(self) -> Losses:
        test = {name: np.empty((0, self.n_test), dtype=np.float32) for name in self._kept}
        train = {name: np.empty((0, self.n), dtype=np.float32) for name in self._kept}
        return Losses(test=test, train=train if self._spec.train_losses else None)
