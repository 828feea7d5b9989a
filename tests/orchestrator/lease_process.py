"""A driver that does nothing but hold a lease, as a process of its own: `lease_process.py FOLDER [HOST] [--lock]`.

The board is a folder of files, one a claim, written whole: the law of boards without MLflow's import time.
"""

import sys
import time
from pathlib import Path

from orchestrator.errors import StoreRefused
from orchestrator.tracking.lease import Lease, Timing

FAST = Timing(beat=0.1, expiry=1.5, observe=0.3, settle=0.02, patience=5.0)


class FolderBoard:
    def __init__(self, folder: Path):
        self.folder = folder

    def claims(self):
        found = {}
        for path in sorted(self.folder.glob("*.claim")):
            try:
                found[path.stem] = path.read_text()
            except FileNotFoundError:
                continue
        return found

    def write(self, token, text):
        fresh = self.folder / f"{token}.new"
        fresh.write_text(text)
        fresh.replace(self.folder / f"{token}.claim")

    def delete(self, token):
        (self.folder / f"{token}.claim").unlink(missing_ok=True)


def main() -> None:
    folder = Path(sys.argv[1])
    host = sys.argv[2] if len(sys.argv) > 2 and not sys.argv[2].startswith("-") else None
    lock = folder / "job.lock" if "--lock" in sys.argv else None
    try:
        lease = Lease.take(FolderBoard(folder), job="job", lock_file=lock, host=host, timing=FAST)
    except StoreRefused as refused:
        sys.stdout.write("refused " + str(refused).replace("\n", " ") + "\n")
        return
    sys.stdout.write("held\n")
    sys.stdout.flush()
    while not lease.lost():
        time.sleep(0.02)
    sys.stdout.write("lost\n")


if __name__ == "__main__":
    main()
