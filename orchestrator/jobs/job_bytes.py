"""A job file's bytes -> its text, or what is wrong with the file itself."""

from pathlib import Path

from orchestrator.errors import JobError
from orchestrator.wording import did_you_mean, shown

MOST_BYTES = 1_000_000


def read_text(path: Path) -> str:
    """The text of a job file. Raises JobError for whatever may be wrong with the file itself."""
    where = str(path)
    try:
        if path.is_dir():
            raise JobError("is a folder, not a job file", where=where, mend=_jobs_in(path))
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise JobError("there is no such file", where=where, mend=_near_files(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise JobError(f"cannot be read: {reason}", where=shown(where), mend="name a readable job file") from None
    if len(content) > MOST_BYTES:
        raise JobError(
            f"larger than {MOST_BYTES:,} bytes", where=where, mend="is this a data file? A job is a page of YAML"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 text: byte 0x{content[error.start]:02x}"
        raise JobError(what, where=f"{where}:{line}", mend="save the file as UTF-8") from None


def _jobs_in(folder: Path) -> str:
    jobs = sorted(str(path) for path in folder.glob("*.y*ml"))[:3]
    return f"did you mean {' or '.join(jobs)}?" if jobs else "name a job file; `apportion init` writes one"


def _near_files(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, names) or "`apportion init` writes a job to start from"
