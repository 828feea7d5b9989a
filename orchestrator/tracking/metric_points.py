"""Points of metrics: their names, their lines in the journal, and how many of them are kept."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_NOT_IN_NAMES = re.compile(r"[^\w.\- :]")
_LONGEST_NAME = 250


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric. step: retrains done. time: milliseconds since the epoch."""

    run_id: str
    key: str
    value: float
    step: int
    time: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Metrics of one run noted together: a line of the journal."""

    run_id: str
    step: int
    time: int
    metrics: Mapping[str, float]

    def line(self) -> bytes:
        """The moment as one line."""
        record = {"run": self.run_id, "step": self.step, "time": self.time, "metrics": dict(self.metrics)}
        return json.dumps(record, allow_nan=False).encode() + b"\n"

    def points(self) -> list[Point]:
        """Its values one by one."""
        return [Point(self.run_id, key, value, self.step, self.time) for key, value in self.metrics.items()]


def moment_of(line: bytes) -> Moment | None:
    """The moment in a line, None where it is torn."""
    try:
        record = json.loads(line)
        metrics = {str(key): float(value) for key, value in record["metrics"].items()}
        return Moment(str(record["run"]), int(record["step"]), int(record["time"]), metrics)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def metric_name(*parts: str) -> str:
    """`mean_standard_error/banzhaf/cross_entropy` from its parts; what MLflow does not take in names becomes `_`."""
    cleaned = [_NOT_IN_NAMES.sub("_", part).strip(". ") or "_" for part in parts]
    return "/".join(cleaned)[:_LONGEST_NAME].rstrip("/. ")


@dataclass(slots=True)
class _Kept:
    count: int = 0
    step: int = -1


@dataclass(slots=True)
class Thinning:
    """Keeps at most `limit` points of a metric, without knowing how many will come.

    The least distance between two points grows as 4 steps / (points left): dense at first, then about as many
    points for each doubling of the retrains; 1,000 points take in a million retrains.
    """

    limit: int = 1000
    _kept: dict[tuple[str, str], _Kept] = field(default_factory=dict)

    def keep(self, moment: Moment, *, last: bool = False) -> Moment:
        """The moment with the metrics that are finite and due. last: due whatever the distance."""
        due = {key: value for key, value in moment.metrics.items() if self._due(moment, key, value, last=last)}
        kept = Moment(moment.run_id, moment.step, moment.time, due)
        self.count(kept)
        return kept

    def count(self, moment: Moment) -> None:
        """Take into account what has been kept."""
        for key in moment.metrics:
            kept = self._kept.setdefault((moment.run_id, key), _Kept())
            kept.count += 1
            kept.step = max(kept.step, moment.step)

    def _due(self, moment: Moment, key: str, value: float, *, last: bool) -> bool:
        kept = self._kept.get((moment.run_id, key), _Kept())
        left = self.limit - kept.count
        if not math.isfinite(value) or left <= 0 or moment.step <= kept.step:
            return False
        return last or kept.step < 0 or moment.step - kept.step >= moment.step * 4 / left
