"""Fixtures around MLflow: a fresh SQLite store in milliseconds (its tables take seconds, so one is made a session)."""

import shutil
from pathlib import Path

import pytest

from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.client import connect
from orchestrator.tracking.place import LocalPlace
from orchestrator.tracking.tracker import Tracker
from workers.chunk_types import Fingerprints


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    place = LocalPlace(folder / "apportion.db", folder / "apportion-artifacts")
    connect(place, experiment="none", create=True, say=lambda text: None)
    return place.database


@pytest.fixture
def tracking_database(template_database: Path, tmp_path: Path) -> Path:
    """`apportion.db` in tmp_path, with MLflow's tables and nothing in them."""
    return Path(shutil.copy(template_database, tmp_path / "apportion.db"))


@pytest.fixture
def tracker(tracking_database: Path) -> Tracker:
    opened = Tracker.open(StoreSpec(), tracking_database.parent, "job", say=lambda text: None)
    assert opened is not None
    return opened


@pytest.fixture
def fingerprints() -> Fingerprints:
    return Fingerprints(train="aa", test="bb", learner="cc", code="dd")
