"""A user's files as modules of their own, under private names that no other import can meet.

A file named `layers.py` beside the user's model is importable as `layers` by the user's files alone: their builtins
hold an `__import__` of their own, and neither `sys.path` nor anybody else's `import layers` changes.
"""

import builtins
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

from workers.code_snapshot import CodeSnapshot, fingerprint

PREFIX: Final = "_apportion_user_"


@dataclass(frozen=True)
class PrivateModules(importlib.abc.MetaPathFinder):
    """Finds a snapshot's files under `prefix`; the folder they came from need not exist on this machine.

    sources: {dotted name: (file, content)}. packages: {dotted name: folder}. homes: dotted names, relative to the
    prefix, where an absolute import is looked for. main: the dotted name of the file that the user named.
    """

    prefix: str
    sources: Mapping[str, tuple[Path, bytes]]
    packages: Mapping[str, Path]
    homes: tuple[str, ...]
    main: str

    @property
    def files(self) -> frozenset[str]:
        """Paths of the user's files, as tracebacks name them."""
        return frozenset(str(file) for file, _ in self.sources.values())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of the snapshot's modules; None for all others."""
        del path, target
        if fullname != self.prefix and not fullname.startswith(self.prefix + "."):
            return None
        name = fullname[len(self.prefix) + 1 :]
        folder = self.packages.get(name)
        if name in self.sources:
            file, content = self.sources[name]
            loader = PrivateLoader(modules=self, file=file, content=content)
            return importlib.util.spec_from_file_location(
                fullname, file, loader=loader, submodule_search_locations=None if folder is None else [str(folder)]
            )
        if folder is None:
            return None
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec

    def home_of(self, module: str) -> str | None:
        """The private package in which an absolute import of the user's is found, or None where it is not theirs."""
        root = module.partition(".")[0]
        for home in self.homes:
            name = f"{home}.{root}".lstrip(".")
            if name in self.sources or name in self.packages:
                return f"{self.prefix}.{home}".rstrip(".")
        return None

    def import_for_user(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the signature of __import__
        locals: Mapping[str, object] | None = None,  # noqa: A002 - as above
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` as the user's files see it."""
        home = self.home_of(name) if level == 0 else None
        if home is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        leaf = builtins.__import__(f"{home}.{name}", globals, locals, fromlist or ("__name__",), 0)
        return leaf if fromlist else sys.modules[f"{home}.{name.partition('.')[0]}"]


@dataclass(frozen=True)
class PrivateLoader(importlib.abc.ExecutionLoader):
    """Loads one file from its content in the snapshot, so that what runs is what was fingerprinted."""

    modules: PrivateModules
    file: Path
    content: bytes

    def get_filename(self, fullname: str) -> str:
        """The file, for tracebacks."""
        del fullname
        return str(self.file)

    def get_source(self, fullname: str) -> str:
        """The file's text."""
        del fullname
        return importlib.util.decode_source(self.content)

    def exec_module(self, module: ModuleType) -> None:
        """Run the file with an `__import__` that knows the files beside it."""
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self.modules.import_for_user}
        super().exec_module(module)


def private_modules(snapshot: CodeSnapshot) -> PrivateModules:
    """The finder of a snapshot's modules, the same one for equal snapshots; it joins `sys.meta_path` once."""
    identity = hashlib.blake2b(f"{fingerprint(snapshot)}:{snapshot.folder}".encode(), digest_size=8).hexdigest()
    prefix = PREFIX + identity
    for finder in sys.meta_path:
        if isinstance(finder, PrivateModules) and finder.prefix == prefix:
            return finder
    modules = _build(snapshot, prefix)
    sys.meta_path.insert(0, modules)
    return modules


def _build(snapshot: CodeSnapshot, prefix: str) -> PrivateModules:
    folder = Path(snapshot.folder)
    sources: dict[str, tuple[Path, bytes]] = {}
    packages: dict[str, Path] = {"": folder}
    for name, content in snapshot.files:
        parts = Path(name).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        path = parts[:-1] if is_package else (*parts[:-1], parts[-1].replace(".", "_"))
        if path:
            sources[".".join(path)] = (folder / name, content)
        for depth in range(1, len(parts)):
            packages[".".join(parts[:depth])] = folder.joinpath(*parts[:depth])
    main_parts = Path(snapshot.files[0][0]).with_suffix("").parts
    return PrivateModules(
        prefix=prefix,
        sources=sources,
        packages=packages,
        homes=tuple(dict.fromkeys((".".join(main_parts[:-1]), ""))),
        main=next(iter(sources)),
    )
