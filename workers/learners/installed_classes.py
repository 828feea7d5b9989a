"""scikit-learn estimator classes by dotted name, from installed packages only."""

import difflib
import importlib
import inspect
import pkgutil
import sys
from functools import cache
from importlib.metadata import packages_distributions

from sklearn.base import BaseEstimator

from workers.errors import LearnerError

EXAMPLE = "sklearn.ensemble.RandomForestClassifier"


def estimator_class(reference: str) -> type[BaseEstimator]:
    """The class that a dotted name stands for.

    Nothing is imported unless the first part of the name is an installed distribution's package, nothing is called.

    Raises:
        LearnerError: no such package, module or class, or it is no scikit-learn estimator class.
    """
    module_name, _, name = reference.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in reference.split(".")):
        raise LearnerError(f"learner.estimator: {reference!r} is no dotted name of a class; write one like {EXAMPLE}")
    _check_installed(reference, module_name.partition(".")[0])
    module = _imported(reference, module_name)
    found: object = getattr(module, name, None)
    if found is None:
        near = difflib.get_close_matches(name, _estimators_of(module), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"write one like {EXAMPLE}"
        raise LearnerError(f"learner.estimator: {module_name} has no {name}; {hint}")
    if not (inspect.isclass(found) and issubclass(found, BaseEstimator)):
        raise LearnerError(
            f"learner.estimator: {reference} is no scikit-learn estimator class (a subclass of"
            f" sklearn.base.BaseEstimator) but a {type(found).__name__}; it was not called"
        )
    if inspect.isabstract(found):
        raise LearnerError(f"learner.estimator: {reference} is an abstract class; name one of its subclasses")
    return found


def _check_installed(reference: str, package: str) -> None:
    if package in sys.stdlib_module_names:
        raise LearnerError(
            f"learner.estimator: {reference} is in Python's own library, which has no scikit-learn estimators; write"
            f" one like {EXAMPLE}"
        )
    if package not in _installed_packages():
        raise LearnerError(
            f"learner.estimator: {reference}: no installed package has the module {package}: install it, or, for code"
            " of your own, use the learner kind `function`"
        )


@cache
def _installed_packages() -> frozenset[str]:
    return frozenset(packages_distributions())


def _imported(reference: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise LearnerError(
                f"learner.estimator: {module_name} needs {error.name}, which is not installed"
            ) from error
        parent = error.name.rpartition(".")[0]
        near = difflib.get_close_matches(error.name, _modules_of(parent), n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise LearnerError(f"learner.estimator: {reference}: there is no module {error.name}{hint}") from error
    except Exception as error:  # an installed package may fail in any way while it is imported
        raise LearnerError(
            f"learner.estimator: importing {module_name} fails: {type(error).__name__}: {error}"
        ) from error


def _modules_of(package: str) -> list[str]:
    path = getattr(sys.modules.get(package), "__path__", None)
    return [] if path is None else [f"{package}.{module.name}" for module in pkgutil.iter_modules(path)]


def _estimators_of(module: object) -> list[str]:
    return [name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, BaseEstimator)]
