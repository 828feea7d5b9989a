import pytest

from orchestrator.tracking.addresses import mask_address, mask_text, split_credentials


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://ann:s3cret@host:5000/x", "http://host:5000/x"),
        ("https://host/x?token=s3cret#s3cret", "https://host/x"),
        ("http://ann:s3/cret@host/x", "http://host/x"),
        ("http://ann:s3cret?@host/x", "http://host/x"),
        ("http://ann:s3cret#s3@host/x", "http://host/x"),
        ("http://ann:s3@cret@host/x", "http://host/x"),
        ("ann:s3cret@host:6379", "host:6379"),
        ("postgresql+psycopg://ann:s3cret@host/db", "postgresql+psycopg://host/db"),
        ("mlflow-artifacts+http://ann:s3cret@host:5000/1/a", "mlflow-artifacts+http://host:5000/1/a"),
        ("sqlite:////home/a@b/apportion.db", "sqlite:////home/a@b/apportion.db"),
        ("/home/a@b/chunks", "/home/a@b/chunks"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://[broken:s3cret@", "http://"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_user_password_query_and_fragment(address, shown):
    assert mask_address(address) == shown
    assert "s3" not in mask_address(address)


def test_foreign_text_is_shown_without_secrets_in_one_short_line(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    text = mask_text("GET http://ann:s3cret@host/x?X-Amz-Signature=s3cret failed\nfor t0ken " + "y" * 1000)
    assert text.startswith("GET http://host/x failed for ***")
    assert "s3cret" not in text
    assert len(text) < 310


def test_credentials_are_taken_out_of_an_address_and_never_printed():
    address, credentials = split_credentials("https://ann:s3%40cret@host:5000/mlflow")
    assert address == "https://host:5000/mlflow"
    assert credentials is not None
    assert (credentials.user, credentials.password) == ("ann", "s3@cret")
    assert "s3" not in repr(credentials)
    assert split_credentials("https://host/x") == ("https://host/x", None)
