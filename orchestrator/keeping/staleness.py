"""Whether exported values are those of the rows that the store has now."""

import hashlib
import json
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from orchestrator.campaign import Campaign
from orchestrator.errors import JobError
from orchestrator.results import JobResult

Freshness = Literal["current", "stale", "unknown"]
"""unknown: the file says nothing of its rows (written before they were kept)."""


def rows_used(campaign: Campaign) -> str:
    """A hash of the rows that a campaign's values are computed from: its data, its draws, and which of them failed."""
    rows = campaign.row_ids()
    hasher = hashlib.blake2b(
        f"{campaign.id} {campaign.plan.draws} {campaign.store.fingerprints}".encode(), digest_size=8
    )
    for row in rows:
        hasher.update(row.key + b"%d" % row.replicate)
    hasher.update(str(sorted(campaign.store.failed(rows))).encode())
    return hasher.hexdigest()


def freshness(result: JobResult, path: Path) -> Freshness:
    """Compare the rows that a file of values names with those of each campaign now; raises JobError for others."""
    try:
        rows = _READERS.get(path.suffix, _rows_of_parquet)(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        mend = "name a Parquet or npz file that `apportion values` wrote, or a report"
        raise JobError("cannot be read as exported values", where=str(path), mend=mend) from error
    if not rows:
        return "unknown"
    return "current" if {*rows.split()} <= {rows_used(campaign) for campaign in result.campaigns} else "stale"


def _rows_of_npz(path: Path) -> str:
    with np.load(path, allow_pickle=False) as file:
        return str(file["rows"]) if "rows" in file.files else ""


def _rows_of_parquet(path: Path) -> str:
    metadata = parquet.read_schema(path).metadata or {}
    return str(json.loads(metadata.get(b"apportion", b"{}")).get("rows", ""))


def _rows_of_report(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as stream:
        found = _ROWS_OF_REPORT.search(stream.read(4096))
    return found.group(1) if found else ""


_ROWS_OF_REPORT = re.compile(r'<meta name="apportion-rows" content="([0-9a-f ]*)">')
_READERS = {".npz": _rows_of_npz, ".html": _rows_of_report}
