"""The smallest contract: a function of the user's, called once a retrain.

`losses(members, seed, *, folder=None) -> {loss: [n_test], train_<loss>: [n] (optional)}` with members a bool array [n]
over training rows, seed an int below 2^32, and NumPy arrays of float32 or float64 in the answer. The options under
`learner.arguments` come as keywords. `folder` is None, or with `learner.checkpoint` the path of a folder of this
retrain's own, in which the function may keep its state: called again after a kill, on whichever worker, it finds the
folder as it left it. It is removed when the retrain is stored.
"""

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from estimators.arrays import BoolArray, Float32Array, SeedArray
from workers.checkpointing import GroupCheckpoints
from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner import LearnerTraits, Losses
from workers.learner_specs import FunctionSpec

ARITHMETIC_VERSION: Final = 1
TRAIN: Final = "train_"
SEEDS: Final = 2**32
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
SIGNATURE: Final = "losses(members, seed, *, folder=None, ...)"


class FunctionLearner:
    """Calls the function for each subset, and checks every answer: names, types, shapes.

    The losses' names are those of the first answer; every other must have the same. The function holds its own data,
    so membership cannot be checked. On the empty subset the answer is the function's own.
    """

    def __init__(self, spec: FunctionSpec, data: Dataset, function: Callable[..., object]) -> None:
        self._spec = spec
        self._n = data.rows
        self._n_test = data.n_test
        self._function = function
        self._names: tuple[str, ...] = ()
        self._checkpoints: GroupCheckpoints | None = None

    @property
    def n(self) -> int:
        """Length of a row of members."""
        return self._n

    @property
    def n_test(self) -> int:
        """Number of test instances."""
        return self._n_test

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses returned; none before the first retrain."""
        return tuple(name for name in self._names if not name.startswith(TRAIN))

    @property
    def together(self) -> int:
        """1: the function is called for one subset at a time."""
        return 1

    @property
    def traits(self) -> LearnerTraits:
        """What the spec declares of the function."""
        return LearnerTraits(
            deterministic=self._spec.deterministic,
            membership="unseen",
            together=False,
            reason="the function is called for one subset at a time",
        )

    @property
    def numeric_class(self) -> str:
        """What is known of it."""
        return f"numpy {np.__version__}, the function's own arithmetic"

    def with_together(self, together: int) -> "FunctionLearner":
        """The learner itself: there is nothing to make smaller."""
        del together
        return self

    def resuming(self, checkpoints: GroupCheckpoints) -> "FunctionLearner":
        """The same learner for one retrain, whose function is given a folder of its own."""
        other = copy.copy(self)
        other._checkpoints = checkpoints  # noqa: SLF001 - its own class
        return other

    def retrain(self, members: BoolArray, seeds: SeedArray) -> Losses:
        """Losses of K calls, on members [K, n] with seeds [K].

        Raises:
            LearnerError: an answer is not what the contract says. Errors of the function itself go through.
        """
        answers = [self._answer(row, int(seed) % SEEDS) for row, seed in zip(members, seeds, strict=True)]
        test = {name: np.stack([answer[name] for answer in answers]) for name in self.losses}
        if TRAIN + self.losses[0] not in self._names:
            return Losses(test=test)
        return Losses(
            test=test, train={name: np.stack([answer[TRAIN + name] for answer in answers]) for name in self.losses}
        )

    def _answer(self, row: BoolArray, seed: int) -> dict[str, Float32Array]:
        try:
            found = self._function(row.copy(), seed, **self._folder(), **self._spec.arguments)
        except SystemExit as error:  # would end the driver, or the worker with every chunk it holds
            raise LearnerError(
                f"{self._where} ends the program (sys.exit({error.code!r})): raise an exception instead"
            ) from error
        if not isinstance(found, Mapping) or not found:
            raise LearnerError(
                f"{self._where} returned {_described(found)}, wanted a dict of losses: {{'cross_entropy': array of"
                f" {self._n_test} numbers}}"
            )
        names = tuple(found)
        self._check_names(names)
        return {name: self._checked(name, found[name]) for name in names}

    def _folder(self) -> dict[str, Path]:
        """The keyword `folder`, where there is one to give."""
        return {} if self._checkpoints is None else {"folder": self._checkpoints.work_folder()}

    def _check_names(self, names: tuple[str, ...]) -> None:
        wrong = [name for name in names if not (isinstance(name, str) and NAME.fullmatch(name))]
        if wrong:
            raise LearnerError(
                f"{self._where} returned a loss named {wrong[0]!r}: a name is letters, digits and _, a letter first"
            )
        test = {name for name in names if not name.startswith(TRAIN)}
        train = {name.removeprefix(TRAIN) for name in names if name.startswith(TRAIN)}
        if not test or train not in (set(), test):
            raise LearnerError(
                f"{self._where} returned {', '.join(names)}: wanted losses, and for all of them or none train_<loss>"
            )
        if self._names and set(names) != set(self._names):
            raise LearnerError(
                f"{self._where} returned {', '.join(names)} for one subset, but {', '.join(self._names)} for another:"
                " return the same losses for every subset"
            )
        self._names = self._names or names

    def _checked(self, name: str, value: object) -> Float32Array:
        length, what = (self._n, "training rows") if name.startswith(TRAIN) else (self._n_test, "test instances")
        wanted = f"a NumPy array of float32 or float64 of shape ({length},), one loss for each of the {length} {what}"
        if not isinstance(value, np.ndarray):
            raise LearnerError(
                f"{self._where} returned {_described(value)} as {name}, wanted {wanted}:"
                " numpy.asarray(..., dtype=float)"
            )
        if value.dtype not in (np.float32, np.float64) or value.shape != (length,):
            raise LearnerError(
                f"{self._where} returned {value.dtype} of shape {value.shape} as {name}, wanted {wanted}"
            )
        return value.astype(np.float32)

    @property
    def _where(self) -> str:
        return f"learner.function: {self._spec.function}"


def function_learner(spec: FunctionSpec, data: Dataset, function: object) -> FunctionLearner:
    """The learner around the user's function; raises LearnerError where it cannot be called as the contract says."""
    if not callable(function) or isinstance(function, type):
        raise LearnerError(
            f"learner.function: {spec.function} is {_described(function)}, wanted a function {SIGNATURE}"
        )
    trouble = _call_trouble(function, spec)
    if trouble:
        raise LearnerError(
            f"learner.function: {spec.function} cannot be called as {SIGNATURE} with learner.arguments"
            f" {dict(spec.arguments)}: {trouble}"
        )
    return FunctionLearner(spec, data, function)


def _call_trouble(function: Callable[..., object], spec: FunctionSpec) -> str:
    try:
        signature = inspect.signature(function)
    except ValueError:  # written in C, without a signature: the smoke retrain will tell
        return ""
    try:
        folder = {} if spec.checkpoint is None else {"folder": None}
        signature.bind(np.ones(1, dtype=np.bool_), 0, **folder, **spec.arguments)
    except TypeError as error:
        return f"{error} (it is {getattr(function, '__name__', 'a callable')}{signature})"
    return ""


def _described(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, Mapping):
        return "an empty dict" if not value else "a dict"
    return f"a {type(value).__name__}"
