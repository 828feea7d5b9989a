"""Writing runs: made once, then described again and again, within MLflow's limits."""

import getpass
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.tracking.addresses import mask_text
from orchestrator.tracking.artifacts import Artifacts
from orchestrator.tracking.client import our_words
from orchestrator.tracking.inputs import DataInput, dataset_input
from orchestrator.tracking.journal import Unsendable
from orchestrator.tracking.metric_points import Point
from orchestrator.tracking.run_texts import NOTE, Value, fit_note, fit_parameters, fit_tags

_IN_VAIN = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST"}


class RunWriter:
    """Makes runs of one experiment and says what is to be said of them."""

    def __init__(self, client: Any, experiment_id: str, artifacts: Artifacts, *, shown: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._artifacts = artifacts
        self._shown = shown

    def make(self, name: str, tags: Mapping[str, Value]) -> str:
        """A new run with a name and tags; its id."""
        system = {"mlflow.user": _user(), "mlflow.source.name": "apportion", "mlflow.source.type": "LOCAL"}
        with our_words(self._shown):
            run = self._client.create_run(self._experiment_id, tags={**system, **fit_tags(tags).texts}, run_name=name)
        return str(run.info.run_id)

    def describe(self, run_id: str, *, tags: Mapping[str, Value], description: str) -> None:
        """Set tags and, if there is one, the description; what is too long for MLflow becomes an artifact as well."""
        from mlflow.entities import RunTag  # noqa: PLC0415 - MLflow takes seconds to import

        fitted = fit_tags(tags)
        texts = fitted.texts
        if description:
            texts = {**texts, NOTE: fit_note(description)}
        if texts.get(NOTE, "") != description and description:
            self._put(run_id, "description.md", description)
        if fitted.overflow:
            self._put(run_id, "long_tags.json", fitted.overflow_json())
        with our_words(self._shown):
            for part in _parts([RunTag(key, value) for key, value in texts.items()], 100):
                self._client.log_batch(run_id, tags=part, synchronous=True)

    def parameters(self, run_id: str, parameters: Mapping[str, Value], *, there: Mapping[str, str]) -> dict[str, Value]:
        """Write the parameters that are not `there` yet; returns tags for those that have changed since."""
        from mlflow.entities import Param  # noqa: PLC0415 - MLflow takes seconds to import

        fitted = fit_parameters(parameters)
        if fitted.overflow:
            self._put(run_id, "long_parameters.json", fitted.overflow_json())
        fresh = [Param(key, value) for key, value in fitted.texts.items() if key not in there]
        with our_words(self._shown):
            for part in _parts(fresh, 100):
                self._client.log_batch(run_id, params=part, synchronous=True)
        changed = {key: value for key, value in fitted.texts.items() if there.get(key, value) != value}
        return {f"apportion.now.{key}": value for key, value in changed.items()}

    def inputs(self, run_id: str, inputs: Sequence[DataInput]) -> None:
        """Log the data sets that a run uses, once."""
        if not inputs:
            return
        with our_words(self._shown):
            there = self._client.get_run(run_id).inputs
            if not (there and there.dataset_inputs):
                self._client.log_inputs(run_id, datasets=[dataset_input(described) for described in inputs])

    def send(self, run_id: str, points: Sequence[Point]) -> None:
        """Send metrics; twice the same is harmless. Raises Unsendable where a later try would be in vain."""
        from mlflow.entities import Metric  # noqa: PLC0415 - MLflow takes seconds to import
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        metrics = [Metric(point.key, point.value, point.time, point.step) for point in points]
        with our_words(self._shown):
            try:
                for part in _parts(metrics, 1000):
                    self._client.log_batch(run_id, metrics=part, synchronous=True)
            except MlflowException as error:
                if _in_vain(error):
                    raise Unsendable(mask_text(str(error))) from error
                raise

    def _put(self, run_id: str, path: str, content: str) -> None:
        with our_words(self._shown):
            self._artifacts.put(run_id, path, content.encode())


def _in_vain(error: Any) -> bool:
    # A 404 that MLflow itself did not word is a proxy's, while the server behind it is away.
    return error.error_code in _IN_VAIN and "API request to" not in str(error)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
