"""Learners by the kind of their spec; each kind's module is imported when it is asked for."""

from workers.dataset import Dataset
from workers.errors import LearnerError
from workers.learner import Learner
from workers.learner_specs import (
    FunctionSpec,
    GradientBoostingSpec,
    LearnerSpec,
    LinearSvmSpec,
    LogisticRegressionSpec,
    RidgeSpec,
    ScikitLearnSpec,
    TorchSpec,
)
from workers.user_code import CodeSnapshot, load_object

__all__ = ["make_learner"]


def make_learner(
    spec: LearnerSpec,
    data: Dataset,
    code: CodeSnapshot | None = None,
    *,
    device: str = "auto",
    together: int | None = None,
    devices: int = 1,
) -> Learner:
    """The learner that `spec` asks for, on `data`; over groups where the data have groups as players.

    code: the user's files, for torch and function. together: K, over the spec's own; None leaves it to the learner.
    devices: how many one looped retrain of a network takes.
    Raises LearnerError where spec and data do not fit, UserCodeError where the user's code does not load, DeviceError.
    """
    learner = _learner(spec, data, code, device=device, together=together, devices=devices)
    if data.groups is None:
        return learner
    from workers.grouped import grouped_learner  # noqa: PLC0415 - only where there are groups

    return grouped_learner(learner, data.groups)


def _learner(
    spec: LearnerSpec, data: Dataset, code: CodeSnapshot | None, *, device: str, together: int | None, devices: int
) -> Learner:
    # imports stand here, each kind's alone, so that the others' libraries are not loaded
    if isinstance(spec, TorchSpec):
        return _torch_learner(spec, data, _carried(code, spec.model), device=device, together=together, devices=devices)
    if isinstance(spec, LogisticRegressionSpec | LinearSvmSpec | RidgeSpec):
        return _linear_learner(spec, data, together=together)
    if isinstance(spec, ScikitLearnSpec):
        from workers.learners.scikit_learn import scikit_learn_learner  # noqa: PLC0415 - see above

        return scikit_learn_learner(spec, data)
    if isinstance(spec, GradientBoostingSpec):
        from workers.learners.gradient_boosting import gradient_boosting_learner  # noqa: PLC0415 - see above

        return gradient_boosting_learner(spec, data)
    return _function_learner(spec, data, _carried(code, spec.function))


def _linear_learner(
    spec: LogisticRegressionSpec | LinearSvmSpec | RidgeSpec, data: Dataset, *, together: int | None
) -> Learner:
    if isinstance(spec, LogisticRegressionSpec):
        from workers.learners.logistic_regression import logistic_regression_learner  # noqa: PLC0415 - as for the others

        return logistic_regression_learner(spec, data, together=together)
    if isinstance(spec, LinearSvmSpec):
        from workers.learners.linear_svm import linear_svm_learner  # noqa: PLC0415 - as for the others

        return linear_svm_learner(spec, data, together=together)
    from workers.learners.ridge import ridge_learner  # noqa: PLC0415 - as for the others

    return ridge_learner(spec, data, together=together)


def _torch_learner(
    spec: TorchSpec, data: Dataset, code: CodeSnapshot, *, device: str, together: int | None, devices: int
) -> Learner:
    from workers.learners.torch_functions import user_functions  # noqa: PLC0415 - imports torch
    from workers.learners.torch_learner import TorchLearner  # noqa: PLC0415 - imports torch
    from workers.learners.torch_module import checked_class  # noqa: PLC0415 - imports torch

    model_class = checked_class(load_object(spec.model, code), spec.model)
    functions = user_functions(spec, code)
    return TorchLearner(spec, data, model_class, functions=functions, device=device, together=together, devices=devices)


def _function_learner(spec: FunctionSpec, data: Dataset, code: CodeSnapshot) -> Learner:
    from workers.learners.function import function_learner  # noqa: PLC0415 - as for the others

    return function_learner(spec, data, load_object(spec.function, code))


def _carried(code: CodeSnapshot | None, reference: str) -> CodeSnapshot:
    if code is None:
        raise LearnerError(f"{reference}: the learner's code was not carried here: give make_learner its CodeSnapshot")
    return code
