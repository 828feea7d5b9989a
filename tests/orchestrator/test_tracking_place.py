from pathlib import Path

import pytest

from orchestrator.errors import JobError
from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.place import LocalPlace, ServerPlace, folder_of, proxied_address, tracking_place
from workers.stores import open_chunk_store


def place(uri: str, folder: Path = Path("/jobs"), **store: str):
    return tracking_place(StoreSpec(tracking_uri=uri, **store), folder, "mnist")


def test_the_default_store_lies_in_the_folder_of_the_job(tmp_path):
    found = tracking_place(StoreSpec(), tmp_path, "mnist")
    assert found == LocalPlace(tmp_path / "apportion.db", tmp_path / "apportion-artifacts" / "mnist")
    assert found.tracking_uri == f"sqlite:///{tmp_path}/apportion.db"


def test_artifacts_lie_beside_the_database_unless_a_folder_is_named():
    assert place("sqlite:///sub/a.db") == LocalPlace(
        Path("/jobs/sub/a.db"), Path("/jobs/sub/apportion-artifacts/mnist")
    )
    assert place("sqlite:////data/a.db") == LocalPlace(Path("/data/a.db"), Path("/data/apportion-artifacts/mnist"))
    assert place("sqlite:///a.db", artifacts="big") == LocalPlace(Path("/jobs/a.db"), Path("/jobs/big/mnist"))
    assert place("sqlite:///a.db", artifacts="/big") == LocalPlace(Path("/jobs/a.db"), Path("/big/mnist"))


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("./mlruns", "plain files"),
        ("mlruns", "plain files"),
        ("file:///x/mlruns", "plain files"),
        ("file:mlruns", "plain files"),
        ("", "plain files"),
        ("postgresql://ann:s3cret@host/db", "start an MLflow server"),
        ("mysql+pymysql://ann:s3cret@host/db", "start an MLflow server"),
        ("databricks", "plain files"),
        ("databricks://profile", "not supported"),
        ("s3://bucket/x", "not known"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///a.db?mode=ro", "names no file"),
        ("sqlite:///a%20b.db", "'%20'"),
        ("http://", "no address"),
        ("http://ann:12/s3cret@host:5000", "no address"),
        ("http://host:port", "no address"),
        ("http://ann:s3cret@[::1", "no address"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_with_a_mend_and_without_its_secret(uri, word):
    with pytest.raises(JobError) as caught:
        place(uri)
    assert word in str(caught.value)
    assert "store.tracking_uri" in str(caught.value)
    assert caught.value.problems[0].mend
    assert "s3cret" not in str(caught.value)


def test_a_server_keeps_its_own_artifacts():
    assert place("http://host:5000/") == ServerPlace("http://host:5000")
    with pytest.raises(JobError, match=r"store\.artifacts"):
        place("http://host:5000", artifacts="big")


def test_a_password_in_a_servers_address_is_kept_apart_from_it():
    found = place("https://ann:s3cret@host/?x=1")
    assert found.tracking_uri == "https://host"
    assert "s3cret" not in repr(found)
    assert found.credentials.password == "s3cret"


def test_a_server_below_a_path_is_a_place_and_its_chunks_are_named_with_the_whole_route():
    found = place("https://ann:s3cret@host/team/mlflow/?x=1#/experiments")
    assert found.tracking_uri == found.shown == "https://host/team/mlflow"
    address = proxied_address(found.tracking_uri, "mlflow-artifacts:/1/run/artifacts", below="chunks")
    route = "/team/mlflow/api/2.0/mlflow-artifacts/artifacts"
    assert address == f"mlflow-artifacts+https://host{route}/1/run/artifacts/chunks"
    assert open_chunk_store(address).address == address


def test_proxied_artifacts_have_an_address_for_the_workers_and_others_have_none():
    address = proxied_address("http://host:5000", "mlflow-artifacts:/1/run/artifacts", below="chunks")
    assert address == "mlflow-artifacts+http://host:5000/1/run/artifacts/chunks"
    assert proxied_address("http://host:5000", "s3://bucket/1", below="chunks") is None


def test_mlflows_locations_are_read_as_folders_where_they_are():
    assert folder_of("file:///a%20b/%23c") == Path("/a b/#c")
    assert folder_of("/a/b") == Path("/a/b")
    assert folder_of("s3://bucket/x") is None
