"""Whether exported values are those of the rows that the store has now."""

import hashlib
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from orchestrator.campaign import Campaign
from orchestrator.errors import JobError
from orchestrator.export import ROWS
from orchestrator.gradients.reading import gradient_spec
from orchestrator.pooling import pooled
from orchestrator.results import POOLED, JobResult

Freshness = Literal["current", "stale", "unknown"]
"""unknown: the file says nothing of its rows (written before they were kept)."""


def rows_of_value(result: JobResult, value: str, campaign: str | None) -> str:
    """The rows that `result.values(value, campaign=campaign)` uses, as `rows_used` tells them, one word a campaign.

    An empty text for a gradient method, whose values come from no stored losses.
    """
    if gradient_spec(result.job, value) is not None:
        return ""
    alone = campaign != POOLED and (campaign is not None or any(not each.why_not(value) for each in result.campaigns))
    together = None if alone else pooled(result.campaigns)
    used = (result.campaign_for(value, campaign),) if together is None else together.campaigns
    return " ".join(rows_used(each) for each in used)


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


def freshness(results: Sequence[JobResult], path: Path) -> Freshness:
    """Compare the rows that a file of values names with those of each campaign now; raises JobError for others.

    results: on the job's own tests, and on those that it was extended by.
    """
    try:
        rows = _READERS.get(path.suffix.lower(), _rows_of_parquet)(path)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, pa.ArrowException, zipfile.BadZipFile) as error:
        mend = "name a Parquet, CSV or npz file that `apportion values` or `query` wrote, or a report"
        raise JobError("cannot be read as exported values", where=str(path), mend=mend) from error
    if not rows:
        return "unknown"
    now = {rows_used(campaign) for result in results for campaign in result.campaigns}
    return "current" if rows <= now else "stale"


def _rows_of_npz(path: Path) -> set[str]:
    with np.load(path, allow_pickle=False) as file:
        return {*str(file[ROWS]).split()} if ROWS in file.files else set()


def _rows_of_parquet(path: Path) -> set[str]:
    """From the footer of exported values, or the column of an answer to a question."""
    schema = parquet.read_schema(path)
    if ROWS in schema.names:
        return _words(parquet.read_table(path, columns=[ROWS], page_checksum_verification=True)[ROWS])
    metadata = schema.metadata or {}
    return {*str(json.loads(metadata.get(b"apportion", b"{}")).get(ROWS, "")).split()}


def _rows_of_csv(path: Path) -> set[str]:
    with csv.open_csv(path) as reader:
        if ROWS not in reader.schema.names:
            return set()
        return {word for batch in reader for word in _words(batch.column(ROWS))}


def _rows_of_report(path: Path) -> set[str]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        found = _ROWS_OF_REPORT.search(stream.read(4096))
    return {*found.group(1).split()} if found else set()


def _words(column: pa.Array | pa.ChunkedArray) -> set[str]:
    return {word for text in column.unique().to_pylist() if text is not None for word in str(text).split()}


_ROWS_OF_REPORT = re.compile(r'<meta name="apportion-rows" content="([0-9a-f ]*)">')
_READERS = {".npz": _rows_of_npz, ".html": _rows_of_report, ".csv": _rows_of_csv}
