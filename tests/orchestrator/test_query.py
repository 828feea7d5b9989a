"""One SELECT over the store: right answers, in every format, and nothing else than that."""

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored_job import HOSTILE, carried_out, hostile_job

from estimators.subsets import unpack
from orchestrator.cli import run_command
from orchestrator.errors import JobError
from orchestrator.query.bounds import bounded_time
from orchestrator.query.engine import Limits, answer
from orchestrator.query.output import WRITERS
from orchestrator.query.views import views_of
from orchestrator.results import JobResult, StoredJob, open_stored


@pytest.fixture(scope="module")
def result(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> JobResult:
    folder = tmp_path_factory.mktemp("asked")
    shutil.copy(template_database, folder / "apportion.db")
    return carried_out(hostile_job(folder))


@pytest.fixture(scope="module")
def stored(result: JobResult) -> StoredJob:
    return open_stored(result.job)


def asked(stored: StoredJob, statement: str, said: list[str] | None = None, **limits: float) -> pa.Table:
    say = [].append if said is None else said.append
    with answer(statement, views_of(stored, say), Limits(**limits)) as reader:
        return reader.read_all()


def drawn(result: JobResult, loss: str = "cross_entropy"):
    """Members [R, n] and losses [R, n_test] of every row, read past the query."""
    store = result.campaigns[0].store
    rows = list(dict.fromkeys(result.campaigns[0].plan.row_ids()))
    read = store.read(rows, loss)
    return rows, read.members, read.losses.astype(np.float64)


def test_wide_and_long_views_give_the_stored_losses(result, stored):
    rows, members, losses = drawn(result)
    wide = asked(
        stored,
        "select key, loss_at(5) as a, losses[6] as b, loss_cross_entropy[6] as c, mean_cross_entropy m from retrains",
    )
    expected = {row.key.hex(): losses[place] for place, row in enumerate(rows)}
    assert wide.num_rows == len(rows)
    for record in wide.to_pylist():
        assert record["a"] == record["b"] == record["c"] == expected[record["key"]][5]
        assert record["m"] == pytest.approx(expected[record["key"]].mean(), rel=1e-6)
    long = asked(stored, "select key, test_index, loss from losses where loss_name = 'cross_entropy'")
    assert long.num_rows == losses.size
    for record in long.to_pylist():
        assert record["loss"] == expected[record["key"]][record["test_index"]]
    inside = members[:, 3] & ~members[:, 9]
    [[mean]] = asked(stored, "select avg(loss_at(5)) from retrains where has(3) and not has(9)").to_pandas().to_numpy()
    assert mean == pytest.approx(losses[inside, 5].mean(), rel=1e-6)


def test_has_and_members_agree_with_the_packed_bits_of_every_instance(result, stored):
    rows, members, _ = drawn(result)
    place = {row.key.hex(): k for k, row in enumerate(rows)}
    pairs = asked(stored, "select key, train_index from members")
    found = np.zeros_like(members)
    for record in pairs.to_pylist():
        found[place[record["key"]], record["train_index"]] = True
    assert np.array_equal(found, members)
    flags = ", ".join(f"has({i})" for i in range(members.shape[1]))
    wide = asked(stored, f"select key, members, {flags} from retrains").to_pylist()
    for record in wide:
        key, bits, *held = record.values()
        assert np.array_equal(held, members[place[key]])
        assert np.array_equal(unpack(np.frombuffer(bits, np.uint8)[None], len(held))[0], held)


@pytest.mark.parametrize(
    ("condition", "mask"),
    [
        ("test_index = 3", lambda key, test, loss: test == 3),
        ("test_index in (1, 4) and loss > 0.3", lambda key, test, loss: (test in (1, 4)) & (loss > 0.3)),
        ("test_index between 2 and 4", lambda key, test, loss: 2 <= test <= 4),
        ("test_index = 2 or test_index = 7", lambda key, test, loss: test in (2, 7)),
        ("key = '{key}'", lambda key, test, loss: key == "{key}"),
        ("key = '{key}' and test_index <> 3", lambda key, test, loss: (key == "{key}") & (test != 3)),
        ("loss < 0.1 or test_index = 1", lambda key, test, loss: (loss < 0.1) | (test == 1)),
    ],
)
def test_filters_that_are_applied_before_unnesting_leave_the_same_rows(stored, condition, mask):
    everything = asked(stored, "select key, test_index, loss_name, loss from losses").to_pylist()
    key = everything[7]["key"]
    statement = f"select * exclude (replicate) from losses where {condition.format(key=key)}"
    found = {tuple(each.values()) for each in asked(stored, statement).to_pylist()}
    wanted = {
        tuple(each.values())
        for each in everything
        if mask(each["key"].replace(key, "{key}"), each["test_index"], each["loss"])
    }
    assert found == wanted
    assert found


def test_a_condition_on_a_test_instance_reads_that_instance_alone(stored, monkeypatch):
    from orchestrator.query import loss_views

    read = []
    real = loss_views.numbers
    monkeypatch.setattr(loss_views, "numbers", lambda array: (read.append(array.dtype), real(array))[1])
    asked(stored, "select avg(loss) from losses where test_index = 3 and loss_name = 'zero_one'")
    assert read.count(np.dtype("float32")) == 1, "one column of losses is made of the 20 there are"


def test_a_long_reading_says_how_long_it_will_take(stored, monkeypatch):
    from orchestrator.query import lazy_dataset

    monkeypatch.setattr(lazy_dataset, "_SECONDS_BEFORE_PREDICTING", 0.0)
    said: list[str] = []
    asked(stored, "select avg(loss) from losses", said)
    assert len(said) == 1
    assert "reads 1,240 rows of `losses`" in said[0]
    assert "test_index" in said[0]


def test_the_views_of_the_job(result, stored):
    [campaign] = asked(stored, "from campaigns").to_pylist()
    assert (campaign["design"], campaign["draws"], campaign["rows_written"]) == ("bernoulli", 60, 62)
    assert sum(row["rows"] for row in asked(stored, "from chunks").to_pylist()) == 62
    assert asked(stored, "from failures").num_rows == 0
    train = asked(stored, "from train").to_pandas()
    assert list(train["train_index"]) == list(range(40))
    assert train["name"][1] == f"{HOSTILE[1]} 1"
    assert set(train["label"]) == {"=cat", "dog"}
    assert "user_Label" in train.columns, "a column of the user's whose name is taken"
    assert asked(stored, "from test").num_rows == 10
    influence = result.values("banzhaf")
    found = asked(stored, "from influence where value = 'banzhaf' and loss = 'cross_entropy'").to_pandas()
    pairs = found[found["test_index"].notna()].sort_values(["train_index", "test_index"])
    np.testing.assert_array_equal(pairs["influence"].to_numpy().reshape(40, 10), influence.values)
    np.testing.assert_array_equal(pairs["standard_error"].to_numpy().reshape(40, 10), influence.standard_errors)
    data = found[found["test_index"].isna()].sort_values("train_index")
    np.testing.assert_array_equal(data["influence"], influence.data_values().values)


def test_hostile_texts_come_through_every_format(stored):
    statement = "select train_index, name, label, null as nothing, [1.5, 2] as list from train order by train_index"
    names = [f"{HOSTILE[row % len(HOSTILE)]} {row}" for row in range(40)]
    written = {}
    for name, write in WRITERS.items():
        stream = io.BytesIO()
        with answer(statement, views_of(stored, [].append), Limits()) as reader:
            write(reader, stream)
        written[name] = stream.getvalue()
    rows = list(csv.DictReader(io.StringIO(written["csv"].decode(), newline="")))
    assert [row["name"].removeprefix("'") for row in rows] == names
    assert not [row for row in rows if row["name"][0] in "=+-@" or row["label"][0] in "=+-@"]
    assert json.loads(rows[0]["list"]) == [1.5, 2.0]
    assert [row["name"] for row in json.loads(written["json"])] == names
    assert pq.read_table(io.BytesIO(written["parquet"]))["name"].to_pylist() == names
    assert b"\x1b" not in written["table"], "no control character reaches a terminal"
    assert len(written["table"].splitlines()) == 42, "a row a line"


def test_json_has_no_number_that_json_does_not_know(stored):
    stream = io.BytesIO()
    with answer(
        "select 'nan'::double a, 'inf'::double b, 1.5 c, date '2026-01-02' d, 'x'::blob e", {}, Limits()
    ) as reader:
        WRITERS["json"](reader, stream)
    [record] = json.loads(stream.getvalue())
    assert record == {"a": None, "b": None, "c": 1.5, "d": "2026-01-02", "e": "78"}


HOSTILE_STATEMENTS = [
    "drop view retrains",
    "delete from retrains",
    "insert into retrains select * from retrains",
    "update retrains set size = 0",
    "create table t as select * from retrains",
    "create view v as select 1",
    "create macro loss_at(t) as 0",
    "alter table retrains add column x int",
    "truncate retrains",
    "copy retrains to '{folder}/out.csv'",
    "copy (select 1) to '{folder}/out.parquet'",
    "export database '{folder}/out'",
    "import database '{folder}'",
    "attach '{folder}/out.db' as other",
    "attach 'apportion.db' (type sqlite)",
    "detach memory",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set memory_limit = '100GB'",
    "set enable_external_access = true",
    "reset lock_configuration",
    "call pragma_version()",
    "checkpoint",
    "begin transaction",
    "select 1; drop view retrains",
    "select 1; select 2",
    "prepare p as select 1",
    "vacuum",
    "use memory",
    "explain analyze select * from retrains",
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from read_text('/etc/hostname')",
    "select * from read_blob('{folder}/apportion.db')",
    "select * from glob('/etc/*')",
    "select * from read_parquet('{folder}/train.parquet')",
    "select * from sqlite_scan('{folder}/apportion.db', 'runs')",
    "select * from parquet_metadata('{folder}/train.parquet')",
    "select * from read_csv('https://example.org/x.csv')",
    "select getenv('HOME')",
    "select * from stored",
    "select * from query('drop view retrains')",
    "with t as (delete from retrains returning *) select * from t",
    "",
    "-- nothing",
    "selct 1",
    "copy train from '/etc/passwd'",
    "from '/etc/passwd'",
    "select md5(content) from read_text('/proc/self/environ')",
    "select * from read_json('/etc/passwd')",
    "select * from read_ndjson_objects('/etc/passwd')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from read_blob('/dev/zero')",
    "select * from read_duckdb('{folder}/x.db')",
    "select * from read_parquet('s3://bucket/x.parquet')",
    "attach 'http://example.org/x.db'",
    "attach ':memory:' as other",
    "create secret s (type s3)",
    "select * from duckdb_secrets()",
    "select * from duckdb_extensions()",
    "load '{folder}/evil.duckdb_extension'",
    "install spatial from community",
    "pragma enable_profiling",
    "select * from enable_profiling('json')",
    "select * from enable_logging()",
    "select * from create_external_resource('x')",
    "set global threads = 100",
    "set variable x = 1",
    "select * from arrow_scan(1, 2, 3)",
    "select * from pandas_scan(1)",
    "select * from python_map_function(1)",
    "select * from json_execute_serialized_sql(json_serialize_sql('select content from read_text(''/etc/hostname'')'))",
    "pivot train on label using count(*)",
    "merge into train using test on true when matched then delete",
    "select " + "(" * 3000 + "1" + ")" * 3000,
    "select * from train; commit",
    "/* select */ drop view train",
]

BOMBS = [
    "with recursive t as (select 1 as x union all select x + 1 from t) select count(*) from t",
    "with recursive t as (select repeat('x', 1000000) x union all select x || x from t) select max(length(x)) from t",
    "select pg_sleep(1000)",
    "select sleep_ms(1000000)",
    "select lpad('x', 2000000000, 'y')",
    "select max(lpad('x', 500000000 + range::int, 'y')) from range(9)",
    "select range(2000000000)",
    "select list_reduce(range(100000000), lambda x, y: x + y)",
    "select length(array_to_string(range(100000000), ','))",
    "select list(range) from range(1000000000)",
    "select string_agg(repeat('x', 1000000)) from range(10000)",
    "select count(distinct hash(a.range) || hash(b.range)) from range(100000) a, range(100000) b",
    "select * from train a, train b, train c, train d, train e order by hash(a.name, b.name, c.name, d.name, e.name)",
]
"""Statements that would take all memory, or for ever. Most step over DuckDB's own limit of memory."""


def test_there_are_thirty_hostile_statements_and_more():
    assert len(HOSTILE_STATEMENTS) >= 30


@pytest.fixture(scope="module")
def hashes(result: JobResult):
    def of_store() -> dict[str, str]:
        files = [path for path in sorted(result.job.folder.rglob("*")) if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    result.store  # noqa: B018 - the read cache is made
    return of_store


@pytest.mark.parametrize("statement", HOSTILE_STATEMENTS)
def test_a_hostile_statement_is_refused_and_changes_nothing(stored, hashes, statement):
    before = hashes()
    with pytest.raises(JobError) as refused:
        asked(stored, statement.format(folder=stored.job.folder))
    assert refused.value.exit_code == 2
    assert "Traceback" not in str(refused.value)
    assert hashes() == before


def test_memory_and_time_are_bounded(stored):
    with pytest.raises(JobError, match=r"needs more than .* of memory"):
        asked(stored, "select range from range(20000000) order by hash(range)", memory=6 * 10**7)
    with pytest.raises(JobError, match=r"not answered within 0\.3 s"):
        asked(stored, "select sum(hash(a.range, b.range)) from range(1000000) a, range(1000000) b", seconds=0.3)


BOMB_TRIAL = """
import sys, time
from pathlib import Path
from orchestrator import load_job
from orchestrator.errors import JobError
from orchestrator.query.bounds import bounded_time
from orchestrator.query.engine import Limits, answer
import pyarrow as pa
table = pa.table({"name": [str(row) for row in range(40)]})
for statement in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
    began = time.monotonic()
    try:
        with answer(statement, {"train": lambda: table}, Limits(memory=2**27, seconds=1.0)) as rows:
            for _ in rows:
                pass
    except JobError as error:
        said = str(error).partition("\\n")[0]
    else:
        said = "answered"
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(facts["VmHWM"].split()[0]) // 1024  # ru_maxrss would begin at the parent's
    print(f"{time.monotonic() - began:.1f}", peak, said, sep="|")
"""


def test_a_bomb_takes_neither_the_memory_nor_the_time_of_the_machine(tmp_path):
    (tmp_path / "bombs.sql").write_text("\n".join(BOMBS), encoding="utf-8")
    words = [sys.executable, "-c", BOMB_TRIAL, str(tmp_path / "bombs.sql")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert len(lines) == len(BOMBS)
    for (seconds, peak, said), statement in zip(lines, BOMBS, strict=True):
        assert said.startswith(("query: needs more than", "query: not answered within")), (statement, said)
        assert float(seconds) < 8, (statement, seconds)
        assert int(peak) < 800, (statement, peak)  # MB: imports, 128 for the question, 256 beside it


def test_a_question_that_does_not_end_when_it_is_interrupted_is_abandoned(monkeypatch):
    monkeypatch.setattr("orchestrator.query.bounds.SECONDS_TO_END", 0.05)
    asked, abandoned = [], threading.Event()
    with bounded_time(0.05, lambda: asked.append("interrupt"), abandoned.set):
        assert abandoned.wait(5)
    assert asked == ["interrupt"]
    with bounded_time(5.0, lambda: asked.append("late"), abandoned.clear):
        pass
    assert asked == ["interrupt"]
    assert abandoned.is_set()


def test_the_command_writes_by_the_files_ending_and_says_what_is_next(result, capsys, monkeypatch):
    job = result.job
    monkeypatch.setattr("orchestrator.commands.query.load_job", lambda path: job)
    target = job.folder / "answer.csv"
    assert (
        run_command(["query", "job.yaml", "select size, count(*) c from retrains group by size", "-o", str(target)])
        == 0
    )
    assert target.read_text(encoding="utf-8").splitlines()[0] == '"size","c"'
    assert run_command(["query", "job.yaml", "select 1", "-o", "x.xlsx"]) == 2
    assert run_command(["query", "job.yaml", "select 1", "--format", "parquet"]) == 2
    assert run_command(["query", "job.yaml", "drop view retrains"]) == 2
    assert "one SELECT is answered, this is DROP" in capsys.readouterr().err
