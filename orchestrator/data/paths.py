"""Paths of data as a job writes them -> files that are there, within what memory can hold."""

from pathlib import Path

import psutil

from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import did_you_mean, listed, shown, size

SUFFIXES = (".npz", ".parquet", ".pq", ".csv", ".tsv")
_FUNCTION_MARK = ":"


def names_function(reference: str) -> bool:
    """Whether `data.train` names a function (`data.py:load`, `package.module:load`) and no file."""
    module, mark, name = reference.rpartition(_FUNCTION_MARK)
    return bool(mark and module) and name.isidentifier() and "/" not in name and "://" not in reference


def resolved(job: Job, key: str, text: str) -> Path | Problem:
    """The file that `data.<key>` names, relative to the job file's folder; or what is wrong with it."""
    where = job.origin.where("data", key)
    if "://" in text:
        return Problem(f"`{shown(text)}` is an address", where, "copy the data to a file and name it")
    try:
        path = (job.folder / Path(text).expanduser()).resolve()
        if path.is_file():
            return _of_known_kind(path, where)
        is_folder, siblings = path.is_dir(), sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError, RuntimeError):
        is_folder, siblings = False, []
    if is_folder and (path / "X.npy").is_file():
        return path
    if is_folder:
        mend = "name one file: .npz, .parquet or .csv; or a folder with X.npy and y.npy"
        return Problem(f"`{shown(text)}` is a folder ({path})", where, mend)
    names = [name for name in siblings if Path(name).suffix in {*SUFFIXES, ".py"}]
    close = did_you_mean(Path(text).name, names, cutoff=0.65)
    mend = close or "paths are relative to the job file's folder"
    return Problem(f"there is no file `{shown(text)}` (looked for {job.folder / shown(text)})", where, mend)


def _of_known_kind(path: Path, where: str) -> Path | Problem:
    if path.suffix.lower() in SUFFIXES:
        return path
    mend = "save it as .npz with X and y, as .parquet or .csv, or write a function: `train: data.py:load`"
    return Problem(f"`{path.name}` is no kind of data file that is read ({listed(SUFFIXES)})", where, mend)


def refuse_larger_than_memory(declared: float, *, where: str, what: str) -> None:
    """Raises JobError where reading would take more than half of the free memory: lied about, or really too large."""
    free = psutil.virtual_memory().available
    if declared > free / 2:
        raise JobError(
            f"{what} declares {size(declared)}, of {size(free)} free memory",
            where=where,
            mend="is the file what you think it is? Take fewer rows or columns, or more memory, or write it with "
            "numpy.savez or as a folder of .npy files, which are read without being loaded",
        )
