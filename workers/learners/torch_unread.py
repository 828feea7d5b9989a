"""Options of optimizers and schedules that those named do not read: refused, since they would change nothing."""

import dataclasses

from workers.errors import LearnerError
from workers.torch_specs import UNREAD, OptimizerSpec, ScheduleSpec, TorchSpec


def check_read(spec: TorchSpec) -> None:
    """Raises LearnerError where options are given that the optimizer or the schedule does not read."""
    for key, options in (("optimizer", spec.optimizer), ("schedule", spec.schedule)):
        given = _unread(options)
        if given:
            readers = [name for name, unread in UNREAD[key].items() if not unread & set(given)]
            raise LearnerError(
                f"learner.{key}: {options.name} does not read {' and '.join(given)}: leave it out, or take"
                f" {' or '.join(readers)}"
            )
    if spec.optimizer.nesterov and not spec.optimizer.momentum:
        raise LearnerError("learner.optimizer: nesterov needs a momentum above 0")


def _unread(options: OptimizerSpec | ScheduleSpec) -> list[str]:
    """Options that differ from their defaults and are not read."""
    key = "optimizer" if isinstance(options, OptimizerSpec) else "schedule"
    return [
        part.name
        for part in dataclasses.fields(options)
        if part.name in UNREAD[key][options.name] and getattr(options, part.name) != part.default
    ]
