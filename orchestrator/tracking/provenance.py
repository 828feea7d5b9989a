"""What made a result: versions of Python and libraries, the git commit of the job's folder."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

_LIBRARIES = ("apportion", "numpy", "scipy", "torch", "scikit-learn", "pyarrow", "pandas", "ray", "mlflow")


def versions() -> dict[str, str]:
    """Versions by name; a library that is not installed is left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path, *, seconds: float = 5.0) -> str:
    """The commit that stands in a folder, with `+changes` where files under version control differ from it.

    Empty where there is no repository or no git.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD", seconds=seconds)
    if not commit:
        return ""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", seconds=seconds)
    return f"{commit}+changes" if changed else commit


def _git(folder: Path, *words: str, seconds: float) -> str:
    command = ["git", "-C", str(folder), "--no-optional-locks", "-c", "core.fsmonitor=false", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
