"""What `from orchestrator import ...` gives, in a fresh process."""

import subprocess
import sys

SCRIPT = """
from orchestrator import Campaign, Influence, Job, arrays_data, load_job, open_result, run
import orchestrator
assert callable(run) and run.__name__ == "run", run
assert orchestrator.run is run
for name in orchestrator.__all__:
    assert getattr(orchestrator, name).__module__ != "orchestrator"
"""


def test_every_public_name_is_what_it_says_in_any_order_of_imports() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
