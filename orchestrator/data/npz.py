"""`.npz` files: zip archives of arrays, read member by member and never unpickled."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from estimators.arrays import AnyArray
from orchestrator.data.mapped_files import mapped_member, to_be_mapped
from orchestrator.data.parts import RawPart
from orchestrator.data.paths import refuse_larger_than_memory
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import did_you_mean, listed

MOST_DEFLATED = 1100
"""A zip member cannot unpack to more than about 1,032 times its size."""


def read_npz(path: Path, job: Job, role: str) -> RawPart:
    """The arrays of one file. Raises JobError: no archive, arrays missing, objects in them, more than memory holds."""
    where = f"{job.origin.where('data', role)}: {path.name}"
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive, where).part(job, role)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        mend = "write it again with numpy.savez_compressed(path, X=X, y=y)"
        raise JobError(f"cannot be read as .npz: {error}", where=where, mend=mend) from None


def npz_arrays(
    path: Path, names: tuple[str, ...], *, optional: tuple[str, ...] = (), where: str
) -> dict[str, AnyArray]:
    """The arrays named, and those of the optional ones that are there; errors as of `read_npz`."""
    try:
        with zipfile.ZipFile(path) as archive:
            opened = _Archive(archive, where)
            opened.refuse_absent(set(names))
            return {name: opened.read(name) for name in (*names, *optional) if name in opened.names()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        mend = "write it again with numpy.savez_compressed(path, members=members)"
        raise JobError(f"cannot be read as .npz: {error}", where=where, mend=mend) from None


@dataclass(frozen=True, slots=True)
class _Archive:
    archive: zipfile.ZipFile
    where: str

    def part(self, job: Job, role: str) -> RawPart:
        spec = job.data
        wanted: dict[str, str] = {"features": "X", "labels": spec.label or "y"}
        if role == "train":
            named = {"ids": spec.id, "weights": spec.weight, "groups": spec.group}
            wanted |= {use: name for use, name in named.items() if name is not None}
        else:
            wanted |= {"ids": spec.id} if spec.id in self.names() else {}
            wanted |= {"groups": spec.group} if spec.group in self.names() else {}
            wanted |= {"groups": spec.test_group} if spec.test_group is not None else {}
        extras = set(job.extra_columns) if role == "train" else set()
        self.refuse_absent({*wanted.values(), *extras})
        arrays = {
            use: self._features(name, job) if use == "features" else self.read(name) for use, name in wanted.items()
        }
        return RawPart(
            source=self.where,
            features=arrays["features"],
            labels=arrays["labels"],
            ids=arrays.get("ids"),
            weights=arrays.get("weights"),
            groups=arrays.get("groups"),
            extras={name: self.read(name) for name in extras},
        )

    def _features(self, name: str, job: Job) -> AnyArray:
        """The features, left in their file where they are large and stored as they are."""
        info = self._member(name)
        if not to_be_mapped(info.file_size, job):
            return self.read(name)
        where = f"{self.where}: {name}"
        found = mapped_member(Path(str(self.archive.filename)), info, where)
        if found is None and job.data.memory_map == "always":
            raise JobError(
                "is compressed", where=where, mend="write it with numpy.savez, which stores arrays as they are"
            )
        return self.read(name) if found is None else found

    def _member(self, name: str) -> zipfile.ZipInfo:
        return self.archive.getinfo(f"{name}.npy" if f"{name}.npy" in self.archive.namelist() else name)

    def names(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self.archive.namelist()]

    def refuse_absent(self, wanted: set[str]) -> None:
        there = self.names()
        problems = [
            Problem(f"there is no array `{name}`; arrays there: {listed(there)}", self.where, _mend(name, there))
            for name in sorted(wanted - set(there))
        ]
        if problems:
            raise JobError(problems)

    def read(self, name: str) -> AnyArray:
        info = self._member(name)
        where = f"{self.where}: {name}"
        refuse_larger_than_memory(info.file_size, where=where, what="the array")
        if info.file_size > MOST_DEFLATED * info.compress_size + 1000:
            raise JobError(f"{info.compress_size} bytes that claim to hold {info.file_size:,}", where=where)
        try:
            with self.archive.open(info) as stream:
                refuse_larger_than_memory(_declared_bytes(stream, info.file_size, where), where=where, what="the array")
            with self.archive.open(info) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:
            raise JobError(f"cannot be read: {error}", where=where, mend="write the file again") from None


def _declared_bytes(stream: IO[bytes], there: int, where: str) -> int:
    """Bytes that the array's header declares; raises JobError for Python objects and for more than the file holds."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise JobError(
            "holds Python objects, which are never unpickled",
            where=where,
            mend="save numbers or text: X.astype(np.float32), y.astype(str)",
        )
    declared = int(np.prod(np.array(shape, dtype=object), initial=1)) * dtype.itemsize
    if declared > there:
        raise JobError(f"declares {shape} of {dtype}, {declared:,} bytes, but holds {there:,}", where=where)
    return declared


def _mend(name: str, there: list[str]) -> str:
    close = did_you_mean(name, there)
    if close:
        return close
    return "`data.label` names the array of labels" if name == "y" else f"save it with numpy.savez(path, {name}=...)"
