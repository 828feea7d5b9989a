"""Figures of what a store holds."""

from dataclasses import dataclass

import numpy as np

from orchestrator.store.row_index import RowIndex


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Figures of a store. rows: that count, failed among them; repeated: found again in another file.

    seconds: of training, over all files. numeric_classes and together (K): all that occur, sorted.
    """

    files: int
    rows: int
    failed: int
    repeated: int
    bytes: int
    seconds: float
    numeric_classes: tuple[str, ...]
    together: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CampaignFiles:
    """What one campaign wrote: rows, bytes, and seconds of training."""

    rows: int
    bytes: int
    seconds: float


def store_facts(index: RowIndex) -> StoreFacts:
    """Figures over all files."""
    tables, single = [table.files for table in index.tables], index.files_one_by_one().values()
    classes = {name for table in tables for name in table.numeric_classes.unique().to_pylist()}
    together = {int(number) for table in tables for number in np.unique(table.together)}
    return StoreFacts(
        files=sum(len(table.rows) for table in tables) + len(single),
        rows=len(index),
        failed=len(index.failures),
        repeated=index.repeated,
        bytes=sum(int(table.bytes.sum()) for table in tables) + sum(file.bytes for file in single),
        seconds=sum(float(table.seconds.sum()) for table in tables) + sum(file.seconds for file in single),
        numeric_classes=tuple(sorted(classes | {file.numeric_class for file in single})),
        together=tuple(sorted(together | {file.together for file in single})),
    )


def campaign_files(index: RowIndex, campaign: str) -> CampaignFiles:
    """Figures over the files that a campaign itself wrote."""
    tables = [table.files for table in index.tables if table.campaign == campaign]
    single = [facts for file, facts in index.files_one_by_one().items() if file.campaign == campaign]
    return CampaignFiles(
        rows=sum(int(table.rows.sum()) for table in tables) + sum(file.rows for file in single),
        bytes=sum(int(table.bytes.sum()) for table in tables) + sum(file.bytes for file in single),
        seconds=sum(float(table.seconds.sum()) for table in tables) + sum(file.seconds for file in single),
    )
