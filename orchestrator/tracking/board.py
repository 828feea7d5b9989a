"""The lease's board on MLflow: tags of the experiment, one for each claim."""

from typing import Any

from orchestrator.tracking.client import our_words

_PREFIX = "apportion.lease."


class ExperimentBoard:
    """Claims as tags of an experiment, which is there before any run is."""

    def __init__(self, client: Any, experiment_id: str, *, shown: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._shown = shown

    def claims(self) -> dict[str, str]:
        """Texts by token."""
        with our_words(self._shown):
            tags = self._client.get_experiment(self._experiment_id).tags
        return {key.removeprefix(_PREFIX): text for key, text in tags.items() if key.startswith(_PREFIX)}

    def write(self, token: str, text: str) -> None:
        """Write the claim of a token."""
        with our_words(self._shown):
            self._client.set_experiment_tag(self._experiment_id, _PREFIX + token, text)

    def delete(self, token: str) -> None:
        """Remove the claim of a token; harmless where there is none."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds to import

        with our_words(self._shown):
            try:
                self._client.delete_experiment_tag(self._experiment_id, _PREFIX + token)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
