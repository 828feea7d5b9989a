"""What an evaluation found, as plain records: kept as JSON, shown as a table, read back by the report."""

import json
from dataclasses import asdict, dataclass
from io import StringIO

import pandas as pd

from orchestrator.export import safe_cell

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Score:
    """A figure with its standard error; None = not known, `reason` says why."""

    value: float | None = None
    standard_error: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """One estimator. kind: retraining, gradient or file. draws: retrains that it was computed from, 0 = not said.

    datamodeling: the linear datamodeling score. references: correlation with each reference, by its name, averaged over
    tests. label_errors: AUROC of suspicion. scale: loss or ranking.
    """

    name: str
    kind: str
    source: str
    draws: int
    scale: str
    datamodeling: Score
    references: dict[str, Score]
    label_errors: Score
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The linear datamodeling score of `better` less that of `worse`, by paired resamples."""

    better: str
    worse: str
    difference: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class RemovalPoint:
    """The rise of the mean test loss when a share of the training set is removed; standard_error: over retrains."""

    order: str
    share: float
    rise: float
    standard_error: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A job's estimators, judged on `subsets` held-out subsets of a campaign, of `smallest` to `largest` members.

    ceiling: the score of the expected losses themselves; halves: of one half of the seeds against the other.
    """

    job: str
    loss: str
    campaign: str
    subsets: int
    smallest: int
    largest: int
    replicates: int
    ceiling: float | None
    halves: float | None
    ceiling_source: str
    estimators: tuple[Judged, ...]
    differences: tuple[Difference, ...] = ()
    removal: tuple[RemovalPoint, ...] = ()
    notes: tuple[str, ...] = ()
    format: int = FORMAT

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, allow_nan=False).encode()

    @staticmethod
    def decode(content: bytes) -> "Evaluation | None":
        """Read back; None where it is of another format, so that it is computed anew."""
        said = json.loads(content)
        if said.get("format") != FORMAT:
            return None
        return Evaluation(
            **{
                **said,
                "estimators": tuple(_judged(each) for each in said["estimators"]),
                "differences": tuple(Difference(**each) for each in said["differences"]),
                "removal": tuple(RemovalPoint(**each) for each in said["removal"]),
                "notes": tuple(said["notes"]),
            }
        )

    def table(self) -> pd.DataFrame:
        """One row an estimator, figures beside their standard errors; NaN where not known."""
        return pd.DataFrame([_row(each) for each in self.estimators])

    def csv(self) -> bytes:
        """The table as CSV, safe to open in a spreadsheet."""
        table, out = self.table(), StringIO()
        for column in ("estimator", "source"):
            table[column] = [safe_cell(text) for text in table[column]]
        table.to_csv(out, index=False, lineterminator="\n")
        return out.getvalue().encode("utf-8", "replace")


def _judged(said: dict[str, object]) -> Judged:
    given = dict(said)
    references = given.pop("references")
    assert isinstance(references, dict)
    return Judged(
        **{
            **given,
            "datamodeling": Score(**given["datamodeling"]),  # type: ignore[arg-type] # what `asdict` made of it
            "label_errors": Score(**given["label_errors"]),  # type: ignore[arg-type]
            "references": {name: Score(**score) for name, score in references.items()},
            "notes": tuple(given["notes"]),  # type: ignore[arg-type]
        }
    )


def _row(judged: Judged) -> dict[str, object]:
    row: dict[str, object] = {
        "estimator": judged.name,
        "kind": judged.kind,
        "source": judged.source,
        "draws": judged.draws,
        "scale": judged.scale,
    }
    named = {"datamodeling_score": judged.datamodeling, "label_error_auroc": judged.label_errors}
    named |= {f"correlation_with_{name}": score for name, score in judged.references.items()}
    for name, score in named.items():
        row |= {name: score.value, f"{name}_error": score.standard_error}
    return row
