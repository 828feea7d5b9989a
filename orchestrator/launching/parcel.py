"""What travels to a cluster with a job: its file, the user's code beside it, and small data; kept in the store too."""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.data.paths import names_function
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.tracking.place import LocalPlace, tracking_place
from orchestrator.wording import holds_secret, size

JOB_FILE = "job.yaml"
LIST_FILE = "parcel.json"
KEPT = "parcel.zip"
_JOB_SETTINGS = "RAY_JOB_CONFIG_JSON_ENV_VAR"
MOST_BYTES = 100 * 2**20
_NOT_SENT = {".venv", "venv", "node_modules", "__pycache__", "apportion-artifacts"}


def packed(job: Job) -> dict[str, bytes]:
    """Contents by path relative to the job's folder. Raises JobError where the job cannot run elsewhere as it is."""
    path = Path(job.origin.path or "")
    if not path.is_file():
        raise JobError("only a job in a file can be sent", mend="write the job as YAML: apportion init")
    text = path.read_bytes()
    problems = [*_store_problems(job), *_secret_problems(text, path)]
    files = {file.relative_to(job.folder).as_posix(): file for file in _files(job)}
    total = sum(file.stat().st_size for file in files.values())
    if total > MOST_BYTES:
        largest = max(files.values(), key=lambda file: file.stat().st_size)
        what = f"{size(total)} would have to be sent, most of it {largest.name} ({size(largest.stat().st_size)})"
        mend = f"at most {size(MOST_BYTES)} are sent: put it where every node reads it, and write its absolute path"
        problems.append(Problem(what, job.origin.where("data"), mend))
    if problems:
        raise JobError(problems)
    contents = {name: file.read_bytes() for name, file in files.items()}
    contents[JOB_FILE] = text
    contents[LIST_FILE] = json.dumps(sorted({*contents, LIST_FILE})).encode()
    return contents


def _files(job: Job) -> Iterable[Path]:
    for path in sorted(job.folder.rglob("*.py")):
        inside = path.relative_to(job.folder).parts
        if not any(part in _NOT_SENT or part.startswith(".") for part in inside) and not path.is_symlink():
            yield path
    named = [job.data.train, job.data.test, *(campaign.file for campaign in job.campaigns)]
    for name in named:
        if name is None or names_function(name) or Path(name).is_absolute():
            continue
        path = (job.folder / name).resolve()
        if path.is_file() and path.is_relative_to(job.folder) and path.suffix != ".py":
            yield path


def _store_problems(job: Job) -> list[Problem]:
    place = tracking_place(job.store, job.folder, job.name)
    if not isinstance(place, LocalPlace) or not place.database.is_relative_to(job.folder):
        return []
    what = "the store is a file beside the job file, which the cluster does not see"
    mend = "set store.tracking_uri to an MLflow server, or to an absolute path that all nodes share"
    return [Problem(what, job.origin.where("store", "tracking_uri"), mend)]


def _secret_problems(text: bytes, path: Path) -> list[Problem]:
    lines = text.decode("utf-8", "replace").splitlines()
    what = "a password stands here, and Ray would keep and show it"
    mend = "take it out, and set it in the environment of the cluster's nodes (docs/operations.md)"
    return [Problem(what, f"{path}:{number}", mend) for number, line in enumerate(lines, start=1) if holds_secret(line)]


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """The contents as one archive, the same bytes for the same contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name), contents[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unzipped(content: bytes, folder: Path) -> None:
    """Write an archive's files into a folder; a path that leads out of it is refused by JobError."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            target = (folder / info.filename).resolve()
            if info.is_dir() or not target.is_relative_to(folder.resolve()):
                raise JobError(f"the parcel in the store holds {info.filename!r}, which is no file of a job")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(info))


@contextmanager
def settled(job_file: Path) -> Iterator[Path]:
    """The job file; of a job that was sent, a copy: Ray takes its folder away with the workers."""
    parcel = parcel_here(job_file.parent)
    if parcel is None:
        yield job_file
        return
    with tempfile.TemporaryDirectory(prefix="apportion-job-") as folder:
        unzipped(parcel, Path(folder))
        os.chdir(folder)
        _without_rays_folder()
        yield Path(folder) / job_file.name


def _without_rays_folder() -> None:
    """Workers get their code from the driver, so that Ray need not unpack the parcel on every node for them."""
    settings = os.environ.get(_JOB_SETTINGS)
    if settings:
        os.environ[_JOB_SETTINGS] = json.dumps({**json.loads(settings), "runtime_env": {}})


def parcel_here(folder: Path) -> bytes | None:
    """The parcel that this folder was unpacked from, None where it was not sent."""
    listed = folder / LIST_FILE
    if not listed.is_file():
        return None
    names = json.loads(listed.read_bytes())
    paths = [(folder / name).resolve() for name in names]
    if not all(path.is_relative_to(folder.resolve()) and path.is_file() for path in paths):
        return None
    return zipped({name: path.read_bytes() for name, path in zip(names, paths, strict=True)})
