"""What a value may be averaged over: the classes and groups of the tests."""

from dataclasses import dataclass

from estimators.transforms.averages import Average, average_over
from orchestrator.data.aside import Groups
from orchestrator.data.datasets import LoadedData


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Codes [n_test] and names of the tests' classes and groups, None where there are none."""

    classes: Groups | None = None
    groups: Groups | None = None

    def average(self, over: str, n_test: int) -> Average:
        """The average; raises EstimatorError where the tests have no such groups."""
        return average_over(over, n_test, self.classes if over == "class" else self.groups)


NO_AXES = Axes()


def axes_of(loaded: LoadedData) -> Axes:
    """The axes of a job's own test set."""
    data = loaded.dataset
    classes = (data.test_labels, data.classes) if data.task == "classification" else None
    return Axes(classes, loaded.test_groups)
