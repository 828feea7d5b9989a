"""The user's own code: loaded by location under private names, with errors that point into their files."""

import difflib
import importlib
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from workers.code_snapshot import OWN_PACKAGES, CodeSnapshot, Reference, fingerprint, parse_reference, snapshot_code
from workers.errors import UserCodeError
from workers.private_modules import PrivateModules, private_modules

__all__ = ["CodeSnapshot", "fingerprint", "load_object", "refuse_shadowing", "snapshot_code"]

LINES_SHOWN: Final = 3
DISTRIBUTIONS: Final = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def load_object(reference: str, snapshot: CodeSnapshot) -> object:
    """The object that `reference` names, from the snapshot's files, or from an installed package where it has none.

    Works where the snapshot's folder does not exist too. Equal snapshots give the same object within a process. Files
    beside the user's are found by import statements, wherever they stand, but not by `importlib.import_module`.

    Raises:
        UserCodeError: the module is not found, fails while it is imported, or does not have the name.
    """
    target = parse_reference(reference)
    modules = private_modules(snapshot) if snapshot.files else None
    name = target.module if modules is None else f"{modules.prefix}.{modules.main}"
    if not name:
        raise UserCodeError(f"{reference}: the snapshot of {snapshot.folder} does not carry {target.file}")
    module = _imported(name, target, snapshot, modules)
    found: object = module
    for part in target.name.split("."):
        if not hasattr(found, part):
            raise UserCodeError(_no_such_name(target, found, part, module))
        found = getattr(found, part)
    return found


def refuse_shadowing(folder: str | Path) -> None:
    """Nothing, where `folder` holds no package or module named as one of this project's own.

    Raises:
        UserCodeError: it does; both paths are named.
    """
    home = Path(__file__).resolve().parents[1]
    for name in OWN_PACKAGES:
        package, module = Path(folder) / name, Path(folder) / f"{name}.py"
        theirs = module if module.is_file() else package
        holds_code = module.is_file() or (package.is_dir() and any(package.glob("*.py")))
        if holds_code and theirs.resolve() != home / name:
            raise UserCodeError(
                f"{theirs.absolute()} hides apportion's own package {home / name}: Python would import the one for the"
                f" other; rename yours (my_{name}, for one), or move the job file to another folder"
            )


def _imported(name: str, target: Reference, snapshot: CodeSnapshot, modules: PrivateModules | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if modules is None and isinstance(error, ModuleNotFoundError) and error.name in _parents(name):
            raise UserCodeError(_module_not_found(target, snapshot)) from error
        raise UserCodeError(_import_failed(target, error, snapshot, modules)) from error


def _parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}


def _module_not_found(target: Reference, snapshot: CodeSnapshot) -> str:
    file = target.module.replace(".", "/") + ".py"
    return (
        f"{target.text}: there is no module {target.module}: neither {Path(snapshot.folder) / file} nor an installed"
        f" package; give a file as file.py:{target.name}, or {_install(target.module)}"
    )


def _install(module: str) -> str:
    root = module.partition(".")[0]
    return f"install the package that has it (pip install {DISTRIBUTIONS.get(root, root)})"


def _import_failed(
    target: Reference, error: BaseException, snapshot: CodeSnapshot, modules: PrivateModules | None
) -> str:
    theirs = modules.files if modules is not None else frozenset()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in theirs]
    lines = [f"  {frame.filename}:{frame.lineno}: {frame.line}" for frame in frames[-LINES_SHOWN:]]
    text = str(error).replace(f"{modules.prefix}.", "") if modules is not None else str(error)
    said = "it ends the program (sys.exit)" if isinstance(error, SystemExit) else f"{type(error).__name__}: {text}"
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = error.name if modules is None else error.name.removeprefix(f"{modules.prefix}.")
        hint = f"; {_install(missing)}, or put {missing.partition('.')[0]}.py into {snapshot.folder}"
    return "\n".join([f"{target.text}: importing it fails: {said}{hint}", *lines])


def _no_such_name(target: Reference, found: object, part: str, module: ModuleType) -> str:
    where = getattr(module, "__file__", None) or target.module
    public = [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
    lowered = {name.lower(): name for name in public}
    near = [lowered[name] for name in difflib.get_close_matches(part.lower(), lowered, n=3, cutoff=0.5)]
    own = [name for name in public if getattr(getattr(found, name), "__module__", None) == module.__name__]
    names = near or own[:10]
    hint = f"did you mean {' or '.join(names)}?" if near else f"it has {', '.join(names) or 'no such names'}"
    return f"{target.text}: {where} has no {part}; {hint}"
