"""Data sets as MLflow's inputs of a run."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from estimators.arrays import AnyArray
from orchestrator.tracking.addresses import mask_address
from workers.dataset import Dataset

Context = Literal["training", "test"]

_LONGEST_NAME = 500
_LONGEST_DIGEST = 36
_MOST_COLUMNS = 500


@dataclass(frozen=True, slots=True)
class DataInput:
    """One data set that a campaign uses.

    digest: a label for people, at most 36 characters (the fingerprints in the tags are what counts). source: path,
    address or function. columns: (name, MLflow type) of a table; shape and dtype of arrays.
    """

    name: str
    context: Context
    digest: str
    source: str
    rows: int
    shape: tuple[int, ...]
    dtype: str
    columns: tuple[tuple[str, str], ...] = ()
    classes: int = 0
    players: int = 0

    def schema(self) -> str:
        """MLflow's JSON of the features and the label: of columns for a table, of tensors else."""
        if self.columns and len(self.columns) <= _MOST_COLUMNS:
            described = [{"type": kind, "name": name, "required": True} for name, kind in self.columns]
            return json.dumps({"mlflow_colspec": described})
        features = {"dtype": self.dtype, "shape": [-1, *self.shape[1:]]}
        label = {"dtype": "int64" if self.classes else "float64", "shape": [-1]}
        tensors = [
            {"type": "tensor", "name": "features", "tensor-spec": features},
            {"type": "tensor", "name": "label", "tensor-spec": label},
        ]
        return json.dumps(
            {"mlflow_tensorspec": {"features": json.dumps(tensors[:1]), "targets": json.dumps(tensors[1:])}}
        )

    def profile(self) -> str:
        """Counts, as JSON."""
        counts = {"num_rows": self.rows, "features_shape": list(self.shape)}
        counts |= {"num_classes": self.classes} if self.classes else {}
        return json.dumps(counts | ({"num_players": self.players} if self.players != self.rows else {}))


def data_inputs(data: Dataset, *, sources: tuple[str, str], digests: tuple[str, str]) -> tuple[DataInput, DataInput]:
    """The training and the test set of a campaign. sources, digests: of the training and of the test set."""
    return (
        _input(data, "training", data.train_features, source=sources[0], digest=digests[0], players=data.n),
        _input(data, "test", data.test_features, source=sources[1], digest=digests[1], players=data.n_test),
    )


def _input(data: Dataset, context: Context, features: AnyArray, *, source: str, digest: str, players: int) -> DataInput:
    return DataInput(
        name=source.rpartition("/")[2] or context,
        context=context,
        digest=digest,
        source=source,
        rows=len(features),
        shape=tuple(features.shape),
        dtype=str(features.dtype),
        columns=_columns(data, str(features.dtype)),
        classes=len(data.classes),
        players=players,
    )


def dataset_input(described: DataInput) -> Any:
    """MLflow's own record."""
    from mlflow.entities import Dataset as MlflowDataset  # noqa: PLC0415 - MLflow takes seconds to import
    from mlflow.entities import DatasetInput, InputTag  # noqa: PLC0415

    dataset = MlflowDataset(
        name=described.name[:_LONGEST_NAME],
        digest=described.digest[:_LONGEST_DIGEST],
        source_type="local" if "://" not in described.source else "http",
        source=json.dumps({"uri": mask_address(described.source)}),
        schema=described.schema(),
        profile=described.profile(),
    )
    return DatasetInput(dataset=dataset, tags=[InputTag(key="mlflow.data.context", value=described.context)])


def _columns(data: Dataset, dtype: str) -> tuple[tuple[str, str], ...]:
    if not data.feature_names:
        return ()
    kinds = {"float32": "float", "float64": "double", "int64": "long", "int32": "integer", "bool": "boolean"}
    label = "string" if data.classes else "double"
    return (*((name, kinds.get(dtype, "double")) for name in data.feature_names), ("label", label))
