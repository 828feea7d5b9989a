"""Exports come back as they went out, whole or not at all."""

import csv
import errno

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from estimators.influence import Influence, InstanceValues
from orchestrator import export
from orchestrator.errors import JobError, ResourceMissing
from orchestrator.export import export_influence, export_instance_values, safe_cell

HOSTILE_NAMES = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", 'quo"te, comma', "new\nline"]


def instance_values(n=7, *, loss="cross_entropy"):
    rng = np.random.default_rng(1)
    values, errors = rng.normal(size=n), rng.random(n)
    values[2], errors[2] = np.nan, np.inf
    return InstanceValues("banzhaf", loss, values, errors, np.full(n, 9.0), np.arange(n) + 100, 50, ("a note",))


def influence(n=7, n_test=3, *, loss="cross_entropy"):
    rng = np.random.default_rng(2)
    values, errors = rng.normal(size=(n, n_test)), rng.random((n, n_test))
    values[2], errors[2] = np.nan, np.inf
    degrees = np.full((n, n_test), 9.0)
    mean = instance_values(n, loss=loss)
    return Influence("banzhaf", loss, values, errors, degrees, mean, np.arange(n) + 100, np.arange(n_test) + 10, 50)


def read(path):
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def same(frame, expected):
    assert list(frame.columns) == list(expected.columns)
    for name in expected.columns:
        kind = str if name in {"value", "loss"} else float
        np.testing.assert_array_equal(frame[name].to_numpy(kind), expected[name].to_numpy(kind))


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("block", [1 << 20, 4])
def test_pairs_come_back_bit_for_bit_in_long_form(ending, block, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ROWS_AT_A_TIME", block)
    path = export_influence(influence(), tmp_path / f"values.{ending}")
    same(read(path), influence().to_pandas())
    assert list(read(path)) == ["train_index", "test_index", "value", "loss", "influence", "standard_error"]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_instance_values_come_back_bit_for_bit(ending, tmp_path):
    path = export_instance_values(instance_values(), tmp_path / f"values.{ending}")
    same(read(path), instance_values().to_pandas())
    assert list(read(path)) == ["train_index", "value", "loss", "data_value", "standard_error"]


def test_npz_holds_matrices_and_indices_and_no_objects(tmp_path):
    with np.load(export_influence(influence(), tmp_path / "values.npz"), allow_pickle=False) as stored:
        assert set(stored) == {"values", "standard_errors", "train_index", "test_index", "value", "loss"}
        np.testing.assert_array_equal(stored["values"], influence().values)
        np.testing.assert_array_equal(stored["standard_errors"], influence().standard_errors)
        np.testing.assert_array_equal(stored["train_index"], influence().train_index)
        np.testing.assert_array_equal(stored["test_index"], influence().test_index)
        assert (str(stored["value"]), str(stored["loss"])) == ("banzhaf", "cross_entropy")
    with np.load(export_instance_values(instance_values(), tmp_path / "each.npz"), allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["values"], instance_values().values)
        assert "test_index" not in stored


def test_other_tools_read_the_parquet_file_and_its_facts(tmp_path):
    path = export_influence(influence(), tmp_path / "values.parquet")
    question = f"select value, loss, count(*) from '{path}' where train_index = 103 group by all"
    with duckdb.connect() as connection:
        counted = connection.sql(question).fetchall()
    assert counted == [("banzhaf", "cross_entropy", 3)]
    assert b"lowers the test loss" in pq.read_schema(path).metadata[b"apportion"]


def test_an_unknown_value_is_nan_with_an_infinite_error_in_every_format(tmp_path):
    for ending in ("parquet", "csv"):
        row = read(export_influence(influence(), tmp_path / f"values.{ending}")).query("train_index == 102")
        assert row["influence"].isna().all()
        assert np.isinf(row["standard_error"]).all()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_text_cell_of_a_csv_file_never_runs_as_a_formula(name, tmp_path):
    path = export_influence(influence(loss=name), tmp_path / "values.csv")
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["loss"] for row in rows} == {safe_cell(name)}
    assert not safe_cell(name).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert [float(row["standard_error"]) for row in rows] == influence().to_pandas()["standard_error"].tolist()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_the_other_formats_keep_names_as_they_are(name, tmp_path):
    path = export_influence(influence(loss=name), tmp_path / "values.parquet")
    assert set(read(path)["loss"]) == {name}


def test_the_same_values_make_the_same_bytes(tmp_path):
    for ending in export.FORMATS:
        first, second = (export_influence(influence(), tmp_path / f"{k}.{ending}") for k in "ab")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("name", "file_format", "message"),
    [
        ("values.parquet", "parqet", "unknown format 'parqet'.*\n.*did you mean parquet"),
        ("values.xlsx", None, "ending '.xlsx' names no format"),
        ("values", None, "names no format"),
        ("absent/values.csv", None, "does not exist.*\n.*mkdir -p"),
        ("folder.csv", None, "is a folder"),
        ("file.txt/values.csv", None, "does not exist"),
    ],
)
def test_what_cannot_be_written_is_one_clear_message(name, file_format, message, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(JobError, match=message):
        export_influence(influence(), tmp_path / name, file_format=file_format)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.txt", "folder.csv"]


def test_an_export_that_fails_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "values.csv"
    path.write_text("old")

    def full_disk(result, stream, rows):
        stream.write(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(export.FORMATS, "csv", full_disk)
    with pytest.raises(ResourceMissing, match="No space left"):
        export_influence(influence(), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["values.csv"]


def test_a_matrix_of_four_million_pairs_is_written_in_seconds(tmp_path):
    import time

    large = influence(4000, 1000)
    started = time.monotonic()
    path = export_influence(large, tmp_path / "values.parquet")
    assert time.monotonic() - started < 10
    assert pq.read_metadata(path).num_rows == 4_000_000
