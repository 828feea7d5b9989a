"""A job's experiment in MLflow, found or made, and where its runs keep their files."""

import shlex
from typing import Any

from orchestrator.errors import StoreRefused
from orchestrator.tracking.artifacts import Artifacts, LocalArtifacts, ServerArtifacts, local_root, not_proxied
from orchestrator.tracking.client import our_words
from orchestrator.tracking.place import LocalPlace, Place
from orchestrator.tracking.run_texts import KIND

# Without the kind, MLflow's pages take an experiment for one of language models.
_TAGS = {KIND: "job", "mlflow.experimentKind": "custom_model_development"}


def find_experiment(client: Any, place: Place, name: str, *, create: bool) -> Any | None:
    """MLflow's experiment, made where it is not there and `create`; raises StoreRefused where it was deleted."""
    with our_words(place.shown):
        found = client.get_experiment_by_name(name)
        if found is None and not create:
            return None
        if found is None:
            found = _made(client, place, name)
    if found.lifecycle_stage == "deleted":
        raise _deleted(found, place)
    return found


def artifacts_of(client: Any, place: Place, experiment: Any) -> Artifacts:
    """Where its runs keep files; raises ResourceMissing where workers could not reach them."""
    if isinstance(place, LocalPlace):
        with our_words(place.shown):
            has_runs = bool(client.search_runs([experiment.experiment_id], max_results=1))
        return LocalArtifacts(local_root(place, experiment.artifact_location, has_runs=has_runs))
    if not experiment.artifact_location.startswith("mlflow-artifacts:"):
        raise not_proxied(place, experiment.artifact_location)
    return ServerArtifacts(client, place)


def _made(client: Any, place: Place, name: str) -> Any:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds to import

    location = None
    if isinstance(place, LocalPlace):
        place.artifacts.mkdir(parents=True, exist_ok=True, mode=0o700)
        location = place.artifacts.as_uri()
    try:
        client.create_experiment(name, artifact_location=location, tags=_TAGS)
    except MlflowException as error:
        # Another driver was quicker: names are unique, so that one's is ours.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.get_experiment_by_name(name)


def _deleted(experiment: Any, place: Place) -> StoreRefused:
    restore = shlex.join(["mlflow", "experiments", "restore", "--experiment-id", experiment.experiment_id])
    return StoreRefused(
        f"the experiment {experiment.name!r} at {place.shown} (id {experiment.experiment_id}) has been deleted",
        mend=f"bring it back: MLFLOW_TRACKING_URI={shlex.quote(place.shown)} {restore}; or give the job another name",
    )
