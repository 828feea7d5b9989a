"""Ray's Jobs API: submit a driver, find it again by the job's name, read what it says, end it."""

import logging
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.errors import JobError, ResourceMissing
from orchestrator.jobs.job import Job
from orchestrator.tracking.addresses import mask_address

VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
SECONDS_FOR_AN_AGENT = 90.0
_JOB_KEY = "apportion_job"


@dataclass(frozen=True, slots=True)
class Sent:
    """A driver on the cluster: Ray's id of it and its state in Ray's words."""

    id: str
    state: str
    said: str = ""


def jobs_address(given: str | None, job: Job | None) -> str:
    """Where the Jobs API listens: as given, else in the environment, else the job file's `cluster.jobs_address`.

    Raises JobError where nothing says it.
    """
    there = [os.environ.get(name, "") for name in VARIABLES]  # RAY_ADDRESS may name a cluster's port as well
    candidates = [given, *filter(_is_url, there), job.cluster.jobs_address if job else None]
    found = next((each for each in candidates if each), None)
    if found is None or not _is_url(found):
        what = "nothing says where Ray's Jobs API listens"
        if found is not None:
            what = f"{mask_address(found)} is no address of Ray's Jobs API"
        mend = f"--address http://HEAD:8265, or the variable {VARIABLES[0]}, or `cluster: {{jobs_address: ...}}`"
        raise JobError(what, mend=mend)
    return found


def _is_url(text: str) -> bool:
    return urlsplit(text).scheme in {"http", "https"}


class RayJobs:
    """The Jobs API at an address; the token comes from Ray's own variables. Every method raises ResourceMissing."""

    def __init__(self, address: str) -> None:
        self._shown = mask_address(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        from ray.job_submission import JobSubmissionClient  # noqa: PLC0415 - Ray takes seconds to import

        with self._our_words():
            self._client: Any = JobSubmissionClient(address)
        logging.getLogger("ray").setLevel(logging.ERROR)  # it tells of every file that it sends

    def submit(self, name: str, contents: Mapping[str, bytes], *, start: str) -> Sent:
        """Send a driver of the job `name`; start: "run" or "resume". Its working folder holds the contents."""
        words = shlex.join(["python", "-m", "orchestrator", start, "job.yaml", "--cluster", "auto"])
        with tempfile.TemporaryDirectory() as folder, self._our_words():
            for path, content in contents.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            sent = self._patiently(words, name, folder)
        return Sent(sent, "PENDING")

    def _patiently(self, words: str, name: str, folder: str) -> str:
        """Submit; a cluster that has just been started has no agent for jobs for some seconds."""
        deadline = time.monotonic() + SECONDS_FOR_AN_AGENT
        while True:
            try:
                sent = self._client.submit_job(
                    entrypoint=words,
                    submission_id=f"apportion-{name}-{secrets.token_hex(3)}",
                    runtime_env={"working_dir": folder},
                    metadata={_JOB_KEY: name},
                )
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
            else:
                return str(sent)

    def latest(self, name: str) -> Sent | None:
        """The driver of that job which was sent last."""
        with self._our_words():
            found = [each for each in self._client.list_jobs() if (each.metadata or {}).get(_JOB_KEY) == name]
        if not found:
            return None
        newest = max(found, key=lambda each: each.start_time or 0)
        return Sent(newest.submission_id, str(newest.status.value), newest.message or "")

    def logs(self, sent: Sent) -> str:
        """Everything that a driver has said."""
        with self._our_words():
            return str(self._client.get_job_logs(sent.id))

    def end(self, sent: Sent) -> None:
        """End a driver by Ray's own means: a signal, and a few seconds later a kill."""
        with self._our_words():
            self._client.stop_job(sent.id)

    @contextmanager
    def _our_words(self) -> Iterator[None]:
        import requests  # noqa: PLC0415 - comes with Ray
        from ray.exceptions import AuthenticationError  # noqa: PLC0415 - Ray takes seconds to import

        from orchestrator.cluster.ray_cluster import token_mode  # noqa: PLC0415
        from orchestrator.cluster.ray_environment import environment, read_environment_again  # noqa: PLC0415

        try:
            with environment(token_mode()):
                read_environment_again()
                yield
        except (AuthenticationError, RuntimeError, OSError, ValueError, requests.RequestException) as error:
            text = " ".join(str(error).split())[:300]
            token = isinstance(error, AuthenticationError) or "401" in text or "403" in text or "nauth" in text
            mend = "start the head with a dashboard (pip install 'ray[default]'), or mend the address"
            if token:
                mend = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the cluster's token"
            raise ResourceMissing(f"Ray's Jobs API at {self._shown} refuses: {text}", mend=mend) from error
