"""All views of a store by name, each made when a question names it."""

from collections.abc import Callable
from functools import cache
from typing import Any

from orchestrator.query.influence_view import gradients_table, influence_table
from orchestrator.query.job_views import (
    campaigns_table,
    chunks_table,
    failures_table,
    test_table,
    train_table,
)
from orchestrator.query.lazy_dataset import Say
from orchestrator.query.loss_views import losses_table, members_table, retrains_table
from orchestrator.results import StoredJob, cache_folder
from orchestrator.store.cached_rows import CachedRows
from orchestrator.store.read_cache import cached_rows


def views_of(stored: StoredJob, say: Say) -> dict[str, Callable[[], Any]]:
    """Name -> what makes the Arrow table or data set; the read cache is opened by the first view that needs it."""

    @cache
    def rows() -> CachedRows:
        return cached_rows(stored.store, cache_folder(stored.job))

    return {
        "campaigns": lambda: campaigns_table(stored),
        "chunks": lambda: chunks_table(stored),
        "retrains": lambda: retrains_table(rows()),
        "losses": lambda: losses_table(rows(), say),
        "members": lambda: members_table(rows(), say),
        "failures": lambda: failures_table(stored),
        "train": lambda: train_table(stored.loaded),
        "test": lambda: test_table(stored.loaded),
        "influence": lambda: influence_table(stored, say),
        "gradients": lambda: gradients_table(stored),
    }
