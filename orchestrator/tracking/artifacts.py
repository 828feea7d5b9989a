"""Files of runs: in a folder beside the SQLite file, or behind a server's artifact proxy."""

import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.errors import JobError, ResourceMissing, StoreRefused
from orchestrator.replaced_file import replaced_file
from orchestrator.tracking.place import LocalPlace, ServerPlace, folder_of, proxied_address

CHUNKS = "chunks"


class LocalArtifacts:
    """Files below one folder, as MLflow lays them out: `<experiment's folder>/<run>/artifacts/<path>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def chunks_address(self, run_id: str, artifact_uri: str) -> str:
        """The folder of a campaign's chunks, wherever MLflow remembers it to be."""
        del artifact_uri
        return str(self._folder(run_id) / CHUNKS)

    def put(self, run_id: str, path: str, content: bytes) -> None:
        """Write one file whole, over an older one."""
        target = self._folder(run_id) / _inside(path)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with replaced_file(target) as stream:
                stream.write(content)
        except JobError as error:  # the path is ours, not the user's: what is wrong is the store
            raise ResourceMissing(error.problems) from error

    def get(self, run_id: str, path: str) -> bytes | None:
        """Read one file, None where there is none."""
        try:
            return (self._folder(run_id) / _inside(path)).read_bytes()
        except FileNotFoundError:
            return None

    def shown(self, run_id: str, path: str) -> str:
        """Where a person finds the file."""
        return str(self._folder(run_id) / _inside(path))

    def _folder(self, run_id: str) -> Path:
        return self.root / run_id / "artifacts"


class ServerArtifacts:
    """Files behind the server's artifact proxy, written by MLflow's client."""

    def __init__(self, client: Any, place: ServerPlace) -> None:
        self._client = client
        self._place = place

    def chunks_address(self, run_id: str, artifact_uri: str) -> str:
        """The address of a campaign's chunks for the workers; holds no secret."""
        del run_id
        address = proxied_address(self._place.tracking_uri, artifact_uri, below=CHUNKS)
        if address is None:
            raise not_proxied(self._place, artifact_uri)
        return address

    def put(self, run_id: str, path: str, content: bytes) -> None:
        """Write one file, over an older one."""
        inside = _inside(path)
        with tempfile.TemporaryDirectory(prefix="apportion-") as folder:
            file = Path(folder) / inside.name
            file.write_bytes(content)
            self._client.log_artifact(run_id, str(file), str(inside.parent) if inside.parent.name else None)

    def get(self, run_id: str, path: str) -> bytes | None:
        """Read one file, None where there is none."""
        inside = _inside(path)
        folder = str(inside.parent) if inside.parent.name else None
        if str(inside) not in {found.path for found in self._client.list_artifacts(run_id, folder)}:
            return None
        with tempfile.TemporaryDirectory(prefix="apportion-") as target:
            return Path(self._client.download_artifacts(run_id, str(inside), target)).read_bytes()

    def shown(self, run_id: str, path: str) -> str:
        """Where a person finds the file."""
        return f"{self._place.shown}, run {run_id}, artifact {path}"


Artifacts = LocalArtifacts | ServerArtifacts


def local_root(place: LocalPlace, recorded: str, *, has_runs: bool) -> Path:
    """The folder of an experiment's artifacts: beside the database, else where MLflow remembers it.

    A copied or moved folder is thereby its own store. Raises ResourceMissing where the runs' files are nowhere,
    StoreRefused where they are elsewhere than in a folder.
    """
    remembered = folder_of(recorded)
    if remembered is None:
        raise StoreRefused(
            f"the experiment keeps its files at {recorded.partition('://')[0]}://, not in a folder",
            where=str(place.database),
            mend="give the job another name",
        )
    here = [folder for folder in (place.artifacts, remembered) if folder.is_dir()]
    for folder in here:
        if any(folder.iterdir()):
            return folder
    if here:
        return here[0]
    if has_runs:
        raise ResourceMissing(
            f"the files of this store are gone: neither {place.artifacts} nor {remembered} exists",
            where=str(place.database),
            mend="move that folder back beside the database, or name a new store.tracking_uri",
        )
    place.artifacts.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place.artifacts


def not_proxied(place: ServerPlace, location: str) -> ResourceMissing:
    """The error of a server that hands out artifact locations which workers would have to reach themselves."""
    kind = location.partition(":")[0] if ":" in location else "a folder of the server's"
    return ResourceMissing(
        f"the tracking server at {place.shown} keeps artifacts at {kind} and does not serve them itself",
        where="store.tracking_uri",
        mend="start it with --serve-artifacts and --artifacts-destination, and give the job a new name;"
        " direct access comes with a later version",
    )


def _inside(path: str) -> PurePosixPath:
    inside = PurePosixPath(path)
    if inside.is_absolute() or ".." in inside.parts or not inside.name:
        raise ValueError(f"no path inside a run: {path!r}")
    return inside
