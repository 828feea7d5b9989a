"""Whether a worker may work: it runs what the driver runs, and a store folder is the same folder there."""

import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.errors import Problem, ResourceMissing
from workers.whole_file import make_folder
from workers.worker_facts import Probe, WorkerFacts


def problems_of(worker: WorkerFacts, driver: WorkerFacts) -> list[Problem]:
    """Everything in which a worker differs from the driver, empty where it may work."""
    return [*_versions(worker, driver), *_source(worker, driver), *_store(worker)]


def _versions(worker: WorkerFacts, driver: WorkerFacts) -> list[Problem]:
    there = dict(worker.versions)
    return [
        Problem(
            f"{name} is {there.get(name) or 'not installed'} on the worker and {here} on the driver",
            where=f"worker {worker.worker} on {worker.host}",
            mend=f"install {name} {here} on the cluster's nodes, or the nodes' version here",
        )
        for name, here in driver.versions
        if there.get(name) != here
    ]


def _source(worker: WorkerFacts, driver: WorkerFacts) -> list[Problem]:
    if (worker.host, worker.folder) == (driver.host, driver.folder) or worker.source == driver.source:
        return []  # the same files, though someone may edit them meanwhile
    if dict(worker.versions).get("apportion") != dict(driver.versions)["apportion"]:
        return []
    return [
        Problem(
            f"apportion's files differ: the worker imports {worker.folder} ({worker.source}), "
            f"the driver {driver.folder} ({driver.source})",
            where=f"worker {worker.worker} on {worker.host}",
            mend="install the same apportion on every node, and rename other folders called workers or estimators",
        )
    ]


def _store(worker: WorkerFacts) -> list[Problem]:
    if worker.sees_store is not False:
        return []
    return [
        Problem(
            "the store is a local folder, and a file that the driver wrote there cannot be read from this node",
            where=f"worker {worker.worker} on {worker.host}",
            mend="put the store on a folder that all nodes share, or set store.tracking_uri to an MLflow server",
        )
    ]


def local_folder(address: str) -> Path | None:
    """The folder of a store address that is one (a path, or `file://`), else None."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in address else Path(address)


class StoreProbe:
    """A file in a store's folder that workers try to read; there only while workers start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._probe: Probe | None = None

    def write(self) -> Probe:
        """The probe, written where it is not there yet; raises ResourceMissing where it cannot be."""
        if self._probe is None:
            content = secrets.token_hex(16)
            path = self._folder.resolve() / f".probe-{content}.tmp"
            try:
                make_folder(path.parent)
                path.write_text(content, encoding="utf-8")
            except OSError as error:
                raise ResourceMissing(
                    f"the store's folder cannot be written: {error}",
                    where=str(self._folder),
                    mend="mend its rights or its disk, or choose another store",
                ) from error
            self._probe = Probe(str(path), content)
        return self._probe

    def remove(self) -> None:
        """Take the file away; harmless twice."""
        if self._probe is not None:
            Path(self._probe.path).unlink(missing_ok=True)
            self._probe = None
