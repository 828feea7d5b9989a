"""What travels to a cluster, what is refused before it does, and jobs known by their names."""

import socket
from pathlib import Path

import pytest
from good_job import JOB, write_good_job
from test_run import a_job, carried_out

from orchestrator.campaign_stream import CampaignStream
from orchestrator.cli import run_command
from orchestrator.errors import Interrupted, JobError, ResourceMissing
from orchestrator.jobs.job_file import load_job
from orchestrator.launching.parcel import packed, parcel_here, settled, unzipped, zipped
from orchestrator.launching.ray_jobs import RayJobs, jobs_address
from orchestrator.named_jobs import named_job
from orchestrator.results import open_tracker
from orchestrator.status import job_status
from orchestrator.tracking.lease import Lease, Timing, ask_to_stop

SERVER = 'store: {tracking_uri: "http://mlflow.example:5000"}'


def a_folder(folder: Path, text: str = JOB) -> Path:
    folder.mkdir(exist_ok=True)
    write_good_job(folder)
    (folder / "job.yaml").write_text(text.replace('store: {tracking_uri: "sqlite:///apportion.db"}', SERVER))
    (folder / "model.py").write_text("import beside\n")
    (folder / "beside.py").write_text("X = 1\n")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "large.py").write_text("# nobody needs this there\n")
    return folder / "job.yaml"


def test_the_job_file_code_and_small_data_travel_and_nothing_else(tmp_path: Path) -> None:
    path = a_folder(tmp_path / "job")
    contents = packed(load_job(path))
    assert sorted(contents) == ["beside.py", "job.yaml", "model.py", "parcel.json", "test.npz", "train.npz"]
    assert contents["job.yaml"] == path.read_bytes()

    there = tmp_path / "there"
    there.mkdir()
    unzipped(zipped(contents), there)
    assert parcel_here(there) == zipped(contents)
    assert parcel_here(tmp_path / "job") is None


def test_a_sent_job_works_in_a_copy_since_ray_takes_its_folder_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    unzipped(zipped(packed(load_job(a_folder(tmp_path / "job")))), there)
    monkeypatch.chdir(there)
    with settled(there / "job.yaml") as path:
        assert path.parent not in {there, tmp_path}
        assert path.read_bytes() == (there / "job.yaml").read_bytes()
        assert Path.cwd() == path.parent.resolve()
    with settled(tmp_path / "job" / "job.yaml") as path:
        assert path == tmp_path / "job" / "job.yaml"


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py"])
def test_a_parcel_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobError, match="evil"):
        unzipped(zipped({name: b""}), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (SERVER, 'store: {tracking_uri: "sqlite:///apportion.db"}', ("file beside the job file", "absolute path")),
        ("http://mlflow", "http://me:s3cret@mlflow", ("a password stands here", "job.yaml:9")),
    ],
)
def test_what_would_be_lost_or_shown_there_is_refused(
    tmp_path: Path, old: str, new: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_folder(tmp_path / "job")
    path.write_text(path.read_text().replace(old, new))
    assert run_command(["submit", str(path), "--address", "http://127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert not [word for word in words if word not in said], said
    assert "s3cret" not in said


def test_data_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.launching.parcel.MOST_BYTES", 1000)
    with pytest.raises(JobError, match=r"train\.npz.*\n.*absolute path"):
        packed(load_job(a_folder(tmp_path / "job")))


def test_the_address_comes_from_the_command_the_environment_or_the_job_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_folder(tmp_path / "job")
    path.write_text(path.read_text().replace("in_process", "auto, jobs_address: 'http://file:8265'"))
    job = load_job(path)
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    assert jobs_address(None, job) == "http://file:8265"
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")  # a cluster's port, not the Jobs API's
    assert jobs_address(None, job) == "http://file:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://environment:8265")
    assert jobs_address(None, job) == "http://environment:8265"
    assert jobs_address("http://given:8265", job) == "http://given:8265"
    with pytest.raises(JobError, match="no address of Ray's Jobs API"):
        jobs_address("head:6379", job)


def test_a_jobs_api_that_does_not_answer_is_a_missing_resource(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    assert run_command(["submit", str(a_folder(tmp_path / "job")), "--address", address]) == 4
    said = capsys.readouterr().err
    assert address in said
    assert "Traceback" not in said


def test_a_token_that_is_missing_or_wrong_is_named_by_its_variable() -> None:
    from ray.exceptions import AuthenticationError

    class Closed:
        def list_jobs(self) -> list[object]:
            raise AuthenticationError("the cluster asks for a token")

    jobs = object.__new__(RayJobs)
    jobs._shown, jobs._client = "http://head:8265", Closed()
    with pytest.raises(ResourceMissing, match="RAY_AUTH_TOKEN_PATH") as refused:
        jobs.latest("job")
    assert refused.value.exit_code == 4


def test_a_job_is_known_by_its_name_where_its_store_is_known(
    tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    carried_out(a_job(tmp_path))
    store = f"sqlite:///{tracking_database}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(JobError, match="MLFLOW_TRACKING_URI"):
        named_job("cancer")
    assert run_command(["status", "cancer", "--store", store, "--watch"]) == 0
    said = capsys.readouterr().out
    assert "cancer: finished" in said
    assert "42 of 42 retrains (100%)" in said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert named_job("cancer").name == "cancer"
    with pytest.raises(JobError, match="there is no job dog"):
        named_job("dog")
    assert run_command(["stop", "cancer"]) == 0
    assert "nobody is at it" in capsys.readouterr().out
    assert run_command(["resume", "cancer"]) == 2
    assert "was not sent" in capsys.readouterr().err


class Paper:
    """A board in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def claims(self) -> dict[str, str]:
        return dict(self.texts)

    def write(self, token: str, text: str) -> None:
        self.texts[token] = text

    def delete(self, token: str) -> None:
        self.texts.pop(token, None)


def test_a_holder_of_the_lease_sees_at_its_next_beat_that_it_is_asked_to_stop() -> None:
    board = Paper()
    assert ask_to_stop(board) is None
    with Lease.take(board, job="job", timing=Timing(beat=0.05)) as lease:
        assert not lease.asked_to_stop()
        assert ask_to_stop(board) is not None
        for _ in range(100):
            if lease.asked_to_stop():
                break
            lease._stop.wait(0.05)
        assert lease.asked_to_stop()
        assert not lease.lost()
    assert board.texts.keys() == {"term"}
    with Lease.take(board, job="job", timing=Timing(beat=0.05)) as lease:
        lease._stop.wait(0.2)
        assert not lease.asked_to_stop(), "a request is to one holder, not to the next"


def test_a_job_that_is_asked_to_stop_stops_in_order(
    tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del tracking_database
    asked = iter([0, 0, 0])
    monkeypatch.setattr(CampaignStream, "_asked_to_stop", lambda stream: next(asked, 1))
    job = a_job(tmp_path, learner={"kind": "logistic_regression", "c": 0.1, "together": 8})
    with pytest.raises(Interrupted, match="stopped after"):
        carried_out(job)
    status = job_status(open_tracker(job))
    assert status.words == "stopped"
    assert 0 < len([*tmp_path.rglob("chunks/0*.parquet")]) < 6
