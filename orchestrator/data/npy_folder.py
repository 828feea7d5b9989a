"""A folder of `.npy` files, one an array, named as the arrays of an `.npz` would be: `X.npy`, `y.npy`, ..."""

from pathlib import Path

import numpy as np

from estimators.arrays import AnyArray
from orchestrator.data.mapped_files import mapped_npy
from orchestrator.data.parts import RawPart
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import did_you_mean, listed


def is_npy_folder(path: Path) -> bool:
    """Whether a path is such a folder."""
    return path.is_dir() and (path / "X.npy").is_file()


def read_npy_folder(path: Path, job: Job, role: str) -> RawPart:
    """The arrays of a folder; features are mapped, never loaded whole, unless `memory_map: never`.

    Raises JobError: arrays missing, or not readable.
    """
    spec, where = job.data, f"{job.origin.where('data', role)}: {path.name}"
    wanted = {"features": "X", "labels": spec.label or "y"}
    if role == "train":
        named = {"ids": spec.id, "weights": spec.weight, "groups": spec.group}
        wanted |= {use: name for use, name in named.items() if name is not None}
    else:
        named = {"ids": spec.id, "groups": spec.group}
        wanted |= {use: name for use, name in named.items() if name is not None and (path / f"{name}.npy").is_file()}
    extras = set(job.extra_columns) if role == "train" else set()
    there = sorted(file.stem for file in path.glob("*.npy"))
    absent = sorted(({*wanted.values()} | extras) - set(there))
    if absent:
        mends = [did_you_mean(name, there) or f"numpy.save({name + '.npy'!r}, ...)" for name in absent]
        what = f"no file `{{}}.npy`; there are {listed(there)}"
        raise JobError([Problem(what.format(name), where, mend) for name, mend in zip(absent, mends, strict=True)])
    arrays = {use: _read(path / f"{name}.npy", where, map_it=use == "features") for use, name in wanted.items()}
    if spec.memory_map == "never":
        arrays["features"] = np.array(arrays["features"], subok=False)
    return RawPart(
        source=where,
        features=arrays["features"],
        labels=arrays["labels"],
        ids=arrays.get("ids"),
        weights=arrays.get("weights"),
        groups=arrays.get("groups"),
        extras={name: _read(path / f"{name}.npy", where, map_it=False) for name in extras},
    )


def _read(file: Path, where: str, *, map_it: bool) -> AnyArray:
    found = mapped_npy(file, f"{where}/{file.name}")
    return found if map_it else np.array(found, subok=False)
