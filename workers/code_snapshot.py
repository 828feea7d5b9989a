"""The user's source files as they are when a job starts: found by their imports, carried to every worker."""

import ast
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.errors import UserCodeError

OWN_PACKAGES: Final = ("orchestrator", "workers", "estimators")
DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class CodeSnapshot:
    """A user's file and the files beside it that it imports, directly or through one another.

    folder: where they were found. files: (path relative to folder, content), the user's file first, the others sorted;
    none for an installed package, whose files are not the user's.
    """

    folder: str
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an object is: in `file`, or where that is "" in the module `module`; its (dotted) name there."""

    text: str
    file: str
    module: str
    name: str


def parse_reference(text: str) -> Reference:
    """The parts of "model.py:Net", "package.module:Name" or "package.module.Name".

    Raises:
        UserCodeError: the text is none of these.
    """
    place, colon, name = text.rpartition(":")
    if not colon and not text.endswith(".py"):
        place, _, name = text.rpartition(".")
    is_file = place.endswith(".py") or "/" in place or "\\" in place
    named = all(part.isidentifier() for part in name.split("."))
    if not named or not (is_file or all(part.isidentifier() for part in place.split("."))):
        example = f"{text}:Name" if text.endswith(".py") else "model.py:Net"
        raise UserCodeError(
            f"{text!r} does not say where an object is: write file.py:Name ({example}) or package.module:Name"
        )
    return Reference(text=text, file=place if is_file else "", module="" if is_file else place, name=name)


def snapshot_code(folder: str | Path, reference: str) -> CodeSnapshot:
    """The files that `reference` needs, relative to `folder`: the one named, and what it imports from beside it.

    Imports are followed in the named file's own folder and in `folder`, as Python would for a script there. A dotted
    reference that is no file under `folder` is an installed package: nothing to carry.

    Raises:
        UserCodeError: the file is not there, or one of the files is no valid Python.
    """
    target = parse_reference(reference)
    root = _plain(Path(folder))
    main = _named_file(target, root) if target.file else _module_file(target, root)
    if main is None:
        return CodeSnapshot(folder=str(root), files=())
    if not main.is_relative_to(root):
        root = main.parent
    contents = _reachable(main, root)
    first = main.relative_to(root).as_posix()
    rest = sorted(name for name in contents if name != first)
    return CodeSnapshot(folder=str(root), files=tuple((name, contents[name]) for name in (first, *rest)))


def fingerprint(snapshot: CodeSnapshot) -> str:
    """A hash (hex) of the files' names and contents; the folder does not matter."""
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name, content in sorted(snapshot.files):
        hasher.update(f"{len(name.encode())}:{name}:{len(content)}:".encode())
        hasher.update(content)
    return hasher.hexdigest()


def _plain(path: Path) -> Path:
    """The path from the root on, without dots; links stay, since a linked file's neighbours are the link's."""
    return Path(os.path.normpath(path.absolute()))


def _module_file(target: Reference, root: Path) -> Path | None:
    return _find(root, target.module) if _is_foreign(target.module) else None


def _named_file(target: Reference, root: Path) -> Path:
    file = _plain(root / target.file)
    if file.is_file():
        return file
    there = sorted(path.name for path in file.parent.glob("*.py"))[:10] if file.parent.is_dir() else []
    seen = f"the Python files there are {', '.join(there)}" if there else f"there is no Python file in {file.parent}"
    raise UserCodeError(f"{target.text}: {file} is not there; {seen} (paths are relative to the job file, {root})")


def _reachable(main: Path, root: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    waiting = [main, *_package_files(main, root)]
    while waiting:
        file = waiting.pop()
        name = file.relative_to(root).as_posix()
        if name not in contents:
            contents[name] = file.read_bytes()
            waiting += _imported_files(file, contents[name], roots=(main.parent, root))
    return contents


def _imported_files(file: Path, content: bytes, *, roots: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for level, module in _imports(file, content):
        folders = roots if level == 0 else (_parent(file, level),)
        for folder in folders:
            path = _find(folder, module)
            if path is not None and path.is_relative_to(roots[-1]):
                found += [path, *_package_files(path, folder)]
                break
    return found


def _imports(file: Path, content: bytes) -> Iterator[tuple[int, str]]:
    """(level, dotted module) of every import statement; a name imported from a module may be a module itself."""
    for node in ast.walk(_parsed(file, content)):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names if _is_foreign(alias.name))
        elif isinstance(node, ast.ImportFrom) and (node.level or _is_foreign(node.module or "")):
            module = node.module or ""
            yield node.level, module
            yield from ((node.level, f"{module}.{alias.name}".lstrip(".")) for alias in node.names)


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in OWN_PACKAGES


def _parsed(file: Path, content: bytes) -> ast.Module:
    try:
        return ast.parse(content, filename=str(file))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise UserCodeError(f"{file}:{error.lineno}: {error.msg}: {line}") from error
    except ValueError as error:
        raise UserCodeError(f"{file} is no Python source: {error}") from error


def _parent(file: Path, level: int) -> Path:
    return file.parents[min(level, len(file.parents)) - 1]


def _find(folder: Path, module: str) -> Path | None:
    """The file of a dotted module under a folder."""
    path = folder.joinpath(*module.split(".")) if module else folder
    for candidate in (path / "__init__.py", path.with_suffix(".py") if module else path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _package_files(file: Path, root: Path) -> list[Path]:
    """The `__init__.py` of the packages between root and file."""
    between = [parent for parent in file.parents if parent.is_relative_to(root) and parent != root]
    return [init for parent in between if (init := parent / "__init__.py").is_file()]
