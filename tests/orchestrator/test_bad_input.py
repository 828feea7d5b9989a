"""Wrong job files and data: one clear message with where and how to mend, the right exit code, no traceback."""

import dataclasses
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from good_job import COLUMNS, JOB, ROWS, TABLE_DATA, TESTS, arrays, frames, write_good_job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.checks.whole_job import load_checked
from orchestrator.cli import run_command
from orchestrator.errors import ApportionError, JobError
from orchestrator.jobs.job_file import job_from_text, load_job

Change = Callable[[Path], None]


@dataclasses.dataclass(frozen=True)
class Bad:
    name: str
    change: Change
    words: tuple[str, ...]
    code: int = 2
    absent: tuple[str, ...] = ()
    job: str = "job.yaml"


def text(old: str, new: str) -> Change:
    """The good job with one piece of text replaced."""
    assert old in JOB, old
    return lambda folder: (folder / "job.yaml").write_text(JOB.replace(old, new))


def whole(content: str | bytes) -> Change:
    """Another job file altogether."""
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / "job.yaml").write_bytes(raw)


def gradients(entries: str) -> Change:
    """The good job with gradient methods."""
    return whole(JOB + f"gradients: [{entries}]\n")


def table(data: str, spoil: Callable[[pd.DataFrame, pd.DataFrame], None] = lambda *_: None) -> Change:
    """The good job on tables, which `spoil` changes in place."""

    def change(folder: Path) -> None:
        (folder / "job.yaml").write_text(JOB.replace("{train: train.npz, test: test.npz}", data))
        train, test = frames()
        spoil(train, test)
        for name, frame in (("train", train), ("test", test)):
            if ".csv" in data:
                frame.to_csv(folder / f"{name}.csv", index=False)
            else:
                frame.to_parquet(folder / f"{name}.parquet")

    return change


def npz(**changed: object) -> Change:
    """The good job on arrays of which some are replaced; a function is given the good array."""

    def change(folder: Path) -> None:
        data = arrays()
        for name, value in changed.items():
            data[name] = value(data[name].copy()) if callable(value) else value
        np.savez(folder / "train.npz", X=data["X"], y=data["y"])
        np.savez(folder / "test.npz", X=data["X_test"], y=data["y_test"])

    return change


def function(body: str, data: str = "{train: data.py:load}") -> Change:
    def change(folder: Path) -> None:
        (folder / "job.yaml").write_text(JOB.replace("{train: train.npz, test: test.npz}", data))
        (folder / "data.py").write_text(body)

    return change


def set_at(array: np.ndarray, place: object, value: float) -> np.ndarray:
    array[place] = value
    return array


def in_column(name: str, row: int, value: object) -> Callable[[pd.DataFrame, pd.DataFrame], None]:
    def spoil(train: pd.DataFrame, _: pd.DataFrame) -> None:
        train[name] = train[name].astype(object)
        train.loc[row, name] = value

    return spoil


def shadow(folder: Path) -> None:
    (folder / "workers").mkdir()
    (folder / "workers" / "__init__.py").write_text("raise SystemExit('evil')")


def declare_rows(folder: Path) -> None:
    """A Parquet file of 25 kB that unpacks to 168 MB: a million rows of the same values."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, np.int8)), pa.array([1.0]))
    columns = {f"c{number}": column for number in range(20)} | {"label": column}
    pyarrow.parquet.write_table(pa.table(columns), folder / "bomb.parquet", max_rows_per_page=10**8)
    assert (folder / "bomb.parquet").stat().st_size < 50_000
    _data_line(folder, "{train: bomb.parquet, test: test.parquet, label: label}")


def declare_bytes(folder: Path) -> None:
    """An .npz of 1 kB whose array declares 8 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 1000)})
    with zipfile.ZipFile(folder / "train.npz", "w") as archive:
        archive.writestr("X.npy", header.getvalue() + b"\0" * 100)
        archive.writestr("y.npy", header.getvalue() + b"\0" * 100)


def _data_line(folder: Path, data: str) -> None:
    (folder / "job.yaml").write_text(JOB.replace("{train: train.npz, test: test.npz}", data))


def objects(folder: Path) -> None:
    np.savez(folder / "train.npz", X=np.array([[{}], [{}]], dtype=object), y=np.array([0, 1]))


def bare_folder(folder: Path) -> None:
    (folder / "job.yaml").unlink()
    (folder / "job.yaml").mkdir()


ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
FIRST = "- {design: uniform, fraction: 0.7, retrains: 20}"
GOOD_FUNCTION = "import numpy as np\ndef load():\n    X = np.eye(8)\n    return {'X': X[:6], 'y': [0, 1, 0, 1, 0, 1]"

JOB_FILES = [
    Bad(
        "a key misspelt", text("fraction:", "fractoin:"), ("job.yaml:6", "fractoin", "`fraction`", "Keys allowed here")
    ),
    Bad("an unknown key at the top", text("values:", "value:"), ("job.yaml:8", "`value`", "`values`")),
    Bad("an unknown key in the learner", text("c: 1.0", "gamma: 1.0"), ("job.yaml:4: learner.gamma", "fit_intercept")),
    Bad(
        "text where a number is due",
        text("retrains: 20", "retrains: lots"),
        ("job.yaml:6", "lots", "whole number", "2000"),
    ),
    Bad("a list where text is due", text("train: train.npz", "train: [a, b]"), ("job.yaml:3: data.train", "text")),
    Bad("text where a list is due", text("[downsampling, banzhaf]", "banzhaf"), ("job.yaml:8", "a list", "[banzhaf]")),
    Bad("a truth value where a number is due", text("seed: 7", "seed: yes"), ("job.yaml:2", "`yes`", "number")),
    Bad(
        "a word that YAML reads as true",
        text("train: train.npz", "label: on, train: train.npz"),
        ("`on`", "quotes", '"on"'),
    ),
    Bad("an octal number", text("seed: 7", "seed: 012"), ("job.yaml:2", "`012`", "octal", "12")),
    Bad("not a finite number", text("c: 1.0", "c: .inf"), ("job.yaml:4", ".inf", "finite")),
    Bad("a negative seed", text("seed: 7", "seed: -1"), ("job.yaml:2", "-1", "at least 0")),
    Bad("a seed beyond 63 bits", text("seed: 7", f"seed: {2**64}"), ("job.yaml:2: seed", "of at most")),
    Bad("a name that is a path", text("name: good", "name: ../evil"), ("job.yaml:1", "../evil", "letters")),
    Bad("a bracket left open", text("{cpus: 1, gpus: 0}", "{cpus: 1"), ("job.yaml:", "not YAML", "^")),
    Bad("a tab", text("  - {design: uniform", "\t- {design: uniform"), ("job.yaml:6:1", "tab", "spaces")),
    Bad("a key given twice", whole(JOB + "seed: 8\n"), ("`seed`", "lines 2 and 12", "remove one")),
    Bad("a tag", text("name: good", "name: !!python/object/apply:os.system [id]"), ("job.yaml:1", "!!python", "tag")),
    Bad("aliases nested into a bomb", whole(ALIAS_BOMB), ("10,000 values",)),
    Bad("lists nested into a bomb", whole("[" * 5000), ("nested",)),
    Bad("an empty file", whole(""), ("job.yaml:1", "empty", "apportion init")),
    Bad("a list at the top", whole("- a\n- b\n"), ("a list", "name: my-job")),
    Bad("two documents", whole(JOB + "---\n" + JOB), ("job.yaml:12", "second document")),
    Bad("not UTF-8", whole(b"name: \xe9\n"), ("job.yaml:1", "UTF-8", "0xe9")),
    Bad("a character that YAML forbids", whole(b"name: a\x07b\n"), ("job.yaml:1", "\\x07")),
    Bad("too long a file", whole("# " + "x" * 1_000_001), ("1,000,000 bytes",)),
    Bad("no such file", lambda _: None, ("no such file", "job.yaml"), job="jbo.yaml"),
    Bad("a folder", bare_folder, ("is a folder",)),
    Bad(
        "a variable that is not set",
        text("train: train.npz", 'train: "${NO_SUCH_VAR_1}"'),
        ("job.yaml:3", "NO_SUCH_VAR_1"),
    ),
    Bad("data missing", text("data: {train: train.npz, test: test.npz}\n", ""), ("`data` is missing", "train.npz")),
    Bad("an unknown gradient method", gradients("{method: tracincp}"), ("gradients", "tracin_cp")),
    Bad("a gradient method for Python", gradients("{method: dfbeta}"), ("dfbeta is for Python", "ridge_leave_one_out")),
    Bad("a run of a value", gradients("{method: trak, trajectory: all}"), ("trak needs several models", "leave")),
    Bad("a curvature too many", gradients("{method: gradient_dot, curvature: ekfac}"), ("leave `curvature` out",)),
    Bad("an unknown curvature", gradients("{method: influence_function, curvature: hessian}"), ("gradients", "ekfac")),
    Bad("two of one name", gradients("{method: trak}, {method: trak}"), ("have the same name", "`name`")),
    Bad(
        "gradients of a learner that has none",
        whole(
            JOB.replace("{kind: logistic_regression, c: 1.0}", "{kind: scikit_learn, estimator: sklearn.svm.SVC}")
            + "gradients: [{method: influence_function}]\n"
        ),
        ("kind scikit_learn has no gradients", "logistic_regression"),
    ),
    Bad("the learner's kind missing", text("kind: logistic_regression, ", ""), ("job.yaml:4", "`kind`", "ridge")),
    Bad("an unknown kind of learner", text("logistic_regression", "logistic"), ("`logistic`", "`logistic_regression`")),
    Bad("an unknown design", text("design: uniform", "design: uniforn"), ("uniforn", "`uniform`", "apportion methods")),
    Bad(
        "an unknown value",
        text("[downsampling,", "[downsamplin,"),
        ("job.yaml:8", "`downsampling`", "apportion methods"),
    ),
    Bad("two errors at once", text("seed: 7", "seed: x\nsede: 7"), ("job.yaml:2: seed", "job.yaml:3: sede")),
    Bad(
        "models kept that could only be pickled",
        text("logistic_regression, c: 1.0", "scikit_learn, estimator: sklearn.svm.SVC, keep: true"),
        ("job.yaml:4: learner.keep", "scikit_learn", "execute code", "ridge"),
    ),
    Bad(
        "a budget of nothing",
        whole(JOB + "budget: {hours: 0}\n"),
        ("job.yaml:12: budget.hours", "above 0"),
    ),
    Bad(
        "a limit misspelt",
        whole(JOB + "budget: {gpu_hour: 3}\n"),
        ("job.yaml:12: budget.gpu_hour", "`gpu_hours`", "Keys allowed here"),
    ),
    Bad(
        "money without a price",
        whole(JOB + "budget: {money: 40}\n"),
        ("job.yaml:12: budget.money", "40", "price_per_hour"),
    ),
    Bad(
        "GPU hours of workers without GPUs",
        whole(JOB + "budget: {gpu_hours: 8}\n"),
        ("job.yaml:12: budget.gpu_hours", "workers.gpus is 0", "hours"),
    ),
    Bad("a cluster address of no form", text("in_process", "localhost"), ("job.yaml:10", "`localhost`", "HOST:PORT")),
    Bad("1.5 GPUs", text("gpus: 0", "gpus: 1.5"), ("job.yaml:11", "1.5 GPUs")),
    Bad(
        "a secret is not echoed",
        text('"sqlite:///apportion.db"', "[http://me:hunter2@host/]"),
        ("tracking_uri",),
        absent=("hunter2",),
    ),
]

CAMPAIGNS = [
    Bad("size above n", text("fraction: 0.7", "size: 41"), ("job.yaml:6", "41", "40")),
    Bad("size equal to n", text("fraction: 0.7", "size: 40"), ("job.yaml:6", "40")),
    Bad("size zero", text("fraction: 0.7", "size: 0"), ("job.yaml:6: campaigns[0].size", "at least 1")),
    Bad("a fraction above 1", text("fraction: 0.7", "fraction: 1.7"), ("job.yaml:6", "1.7", "below 1")),
    Bad("uniform without a size", text("fraction: 0.7, ", ""), ("uniform needs size or fraction", "fraction: 0.7")),
    Bad("size and fraction", text("fraction: 0.7", "fraction: 0.7, size: 5"), ("size and fraction",)),
    Bad("bernoulli without a probability", text("probability: 0.5, ", ""), ("bernoulli needs probability",)),
    Bad(
        "a parameter of another design",
        text("probability: 0.5", "probability: 0.5, size: 3"),
        ("no `size`", "probability"),
    ),
    Bad("exhaustive on 40 instances", text(FIRST, "- {design: exhaustive}"), ("job.yaml:6", "20")),
    Bad(
        "the same campaign twice",
        text("bernoulli, probability: 0.5", "uniform, fraction: 0.7"),
        ("job.yaml:7", "same subsets as campaigns[0]"),
    ),
    Bad(
        "two campaigns of one name",
        text("bernoulli, probability: 0.5", "uniform, fraction: 0.5"),
        ("job.yaml:7", "`uniform`", "name: uniform-2"),
    ),
    Bad("no budget", text(", retrains: 20", ""), ("uniform needs a budget", "retrains: 2000")),
    Bad("too small a budget", text("retrains: 20", "retrains: 1"), ("job.yaml:6", "1 retrain will not do")),
    Bad("leave-one-out on a budget", text(FIRST, "- {design: leave_one_out, retrains: 5}"), ("40 retrains, not 5",)),
    Bad("a value no design gives", text("banzhaf]", "shapley]"), ("job.yaml:8", "shapley", "exhaustive")),
    Bad(
        "memorization without train losses",
        whole(JOB.replace("c: 1.0", "train_losses: false").replace("banzhaf]", "memorization]")),
        ("train_losses: true",),
    ),
    Bad(
        "until on a value not asked",
        text("retrains: 30", "retrains: {until: {value: memorization, below: 0.1, at_most: 90}}"),
        ("job.yaml:7", "memorization"),
    ),
    Bad(
        "until on a loss that is not kept",
        text("retrains: 30", "retrains: {until: {value: banzhaf, loss: squared_error, below: 0.1, at_most: 90}}"),
        ("job.yaml:7", "squared_error", "losses kept: cross_entropy"),
    ),
    Bad(
        "until without a bound",
        text("retrains: 30", "retrains: {until: {value: banzhaf, at_most: 90}}"),
        ("`below` is missing",),
    ),
    Bad(
        "more losses than the disk holds", text("retrains: 30", "retrains: 900000000000"), ("job.yaml:5", "TB", "free")
    ),
    Bad(
        "a loss of another task",
        text("c: 1.0", "losses: [squared_error]"),
        ("squared_error", "classification", "zero_one"),
    ),
    Bad(
        "a loss of support vector machines",
        text("c: 1.0", "losses: [squared_hinge]"),
        ("squared_hinge", "logistic_regression for classification", "cross_entropy"),
    ),
    Bad(
        "probabilities of support vector machines",
        text("logistic_regression, c: 1.0", "linear_svm, losses: [cross_entropy]"),
        ("job.yaml:4: learner.losses", "cross_entropy", "linear_svm", "squared_hinge"),
    ),
    Bad(
        "support vector machines without a penalty",
        text("logistic_regression, c: 1.0", "linear_svm, c: 0"),
        ("job.yaml:4: learner.c", "0"),
    ),
    Bad(
        "another loss of support vector machines",
        text("logistic_regression, c: 1.0", "linear_svm, loss: hinge"),
        ("job.yaml:4", "`loss`", "`losses`"),
    ),
    Bad(
        "support vector machines on numbers",
        whole(
            JOB.replace("logistic_regression, c: 1.0", "linear_svm").replace("test.npz}", "test.npz, task: regression}")
        ),
        ("linear_svm", "kind: ridge"),
    ),
    Bad(
        "ridge on classes",
        whole(
            JOB.replace("logistic_regression, c: 1.0", "ridge").replace("test.npz}", "test.npz, task: classification}")
        ),
        ("ridge", "task: regression"),
    ),
]

DATA = [
    Bad("a file missing", text("train: train.npz", "train: trian.npz"), ("job.yaml:3", "trian.npz", "`train.npz`")),
    Bad("both files missing", text("train.npz, test: test.npz", "a.npz, test: b.npz"), ("a.npz", "b.npz")),
    Bad("no test set", text(", test: test.npz", ""), ("job.yaml:3", "`test` is missing")),
    Bad(
        "a kind of file that is not read",
        lambda folder: ((folder / "a.xlsx").touch(), _data_line(folder, "{train: a.xlsx, test: test.npz}")),
        ("a.xlsx", ".parquet"),
    ),
    Bad("an address", text("train: train.npz", "train: s3://bucket/a.npz"), ("s3://bucket/a.npz", "file")),
    Bad(
        "a password in an address",
        text("train: train.npz", "train: http://me:hunter2@h/a"),
        ("***",),
        absent=("hunter2",),
    ),
    Bad("no archive", lambda folder: (folder / "train.npz").write_bytes(b"hello"), ("train.npz", "savez")),
    Bad(
        "an array missing",
        lambda folder: np.savez(folder / "train.npz", images=np.eye(3), y=np.arange(3)),
        ("`X`", "images"),
    ),
    Bad("Python objects in an array", objects, ("Python objects", "never unpickled")),
    Bad("an array that declares 8 TB", declare_bytes, ("declares",)),
    Bad("a table that declares far more rows than it can hold", declare_rows, ("kB that declare 1,000,000 rows",)),
    Bad("X and y of different length", npz(y=lambda y: y[:-3]), ("40 rows", "37 labels")),
    Bad(
        "NaN and infinite features",
        npz(X=lambda X: set_at(set_at(X, (3, 1), np.nan), (5, 2), np.inf)),
        ("2 feature values", "(row 3, column 1)", "(row 5, column 2)", "drop"),
    ),
    Bad("NaN labels", npz(y=lambda y: set_at(y.astype(float), 4, np.nan)), ("1 label", "row", "4")),
    Bad("fractions as classes", npz(y=lambda y: y + 0.25), ("fractions", "task: regression")),
    Bad("one class", npz(y=np.zeros(ROWS, int)), ("one class", "`0`")),
    Bad("one training instance", npz(X=lambda X: X[:1], y=lambda y: y[:1]), ("1 training instances", "2")),
    Bad("no test instance", npz(X_test=np.zeros((0, COLUMNS)), y_test=np.zeros(0, int)), ("0 test instances",)),
    Bad("another width", npz(X_test=lambda X: X[:, :2]), ("(2,)", "(3,)")),
    Bad("labels one-hot", npz(y=lambda y: np.eye(2)[y]), ("argmax",)),
    Bad("features of one dimension", npz(X=np.arange(40.0)), ("reshape(-1, 1)",)),
    Bad("text as features", npz(X=np.full((40, 3), "a")), ("numbers",)),
    Bad(
        "test instances that are training instances",
        npz(X_test=arrays()["X"][:TESTS], y_test=arrays()["y"][:TESTS]),
        ("10 test instances", "test row 0 = training row 0", "overlap: allow"),
    ),
    Bad(
        "the label column missing",
        table("{train: train.csv, test: test.csv, label: specie}"),
        ("`specie`", "`species`"),
    ),
    Bad("no label column named", table("{train: train.csv, test: test.csv}"), ("data.label", "species")),
    Bad(
        "the group column missing",
        table("{train: train.csv, test: test.csv, label: species, group: pateint}"),
        ("`pateint`", "`patient`"),
    ),
    Bad(
        "text for regression",
        table("{train: train.csv, test: test.csv, label: species, task: regression}"),
        ("text", "regression", "cat"),
    ),
    Bad("a missing cell", table(TABLE_DATA, in_column("width", 7, None)), ("row 7", "`width`", "dropna")),
    Bad("a word among numbers", table(TABLE_DATA, in_column("width", 7, "?")), ("`width`", "?")),
    Bad("an empty label", table(TABLE_DATA, in_column("species", 2, " ")), ("1 label", "2")),
    Bad("ids that stand twice", table(TABLE_DATA, in_column("id", 1, "row-0")), ("id", "row-0")),
    Bad("a weight of zero", table(TABLE_DATA, in_column("weight", 3, 0.0)), ("1 weight", "row 3")),
    Bad(
        "a column on one side only",
        table(TABLE_DATA, lambda _, test: test.pop("depth")),
        ("only in the training set", "depth"),
    ),
    Bad(
        "a column that is text in the test set only",
        table(TABLE_DATA, lambda _, test: test.__setitem__("depth", "deep")),
        ("`depth`", "deep"),
    ),
    Bad(
        "ids as features",
        table(
            "{train: train.parquet, test: test.parquet, label: species, id: patient}",
            lambda train, test: (
                train.__setitem__("patient", np.arange(40)),
                test.__setitem__("patient", np.arange(10)),
            ),
        ),
        ("`id`", "no category"),
    ),
    Bad(
        "rows of different length",
        lambda folder: (
            (folder / "train.csv").write_text("a,species\n1,x\n2\n3,y\n"),
            _data_line(folder, "{train: train.csv, test: train.csv, label: species}"),
        ),
        ("row 3", "1 instead of 2"),
    ),
    Bad(
        "semicolons",
        lambda folder: (
            (folder / "train.csv").write_text("a;species\n1;x\n2;y\n"),
            _data_line(folder, "{train: train.csv, test: train.csv, label: species}"),
        ),
        ("separated",),
    ),
    Bad(
        "an image shape that does not fit",
        text("test: test.npz", "test: test.npz, image_shape: [2, 2]"),
        ("[2, 2]", "4", "3"),
    ),
    Bad("known label errors missing", whole(JOB + "report: {known_label_errors: flipped}\n"), ("flipped",)),
]

CODE = [
    Bad(
        "a function's file missing",
        text("{train: train.npz, test: test.npz}", "{train: nowhere.py:load}"),
        ("nowhere.py",),
    ),
    Bad("a function missing", function("def lood():\n    pass\n"), ("load", "lood")),
    Bad("a file that cannot be imported", function("import no_such_package_1\n"), ("no_such_package_1", "data.py:1")),
    Bad("a function that raises", function("def load():\n    return 1 / 0\n"), ("ZeroDivisionError", "data.py:2")),
    Bad("a function that ends the program", function("def load():\n    raise SystemExit(3)\n"), ("SystemExit",)),
    Bad("a function that returns a list", function("def load():\n    return []\n"), ("list", "mapping")),
    Bad("a function without y", function("def load():\n    return {'X': [[1.0]]}\n"), ("`y`", "returned: X")),
    Bad("a function of other arguments", function("def load(rows):\n    return {}\n"), ("rows", "data.arguments")),
    Bad("a function without a test set", function(GOOD_FUNCTION + "}\n"), ("X_test",)),
    Bad(
        "a function of Python's own",
        text("{train: train.npz, test: test.npz}", "{train: os:getcwd}"),
        ("belongs to Python itself",),
    ),
    Bad("a package of ours beside the job", shadow, ("workers", "rename")),
    Bad("a GPU asked for and absent", text("gpus: 0", "gpus: 1"), ("job.yaml:11", "GPU", "device: cpu"), code=4),
    Bad(
        "more processors than there are",
        text("cpus: 1", "cpus: 4096"),
        ("job.yaml:11", "4096", str(os.cpu_count())),
        code=4,
    ),
]

LEARNER = next(line for line in JOB.splitlines() if line.startswith("learner:"))
CAMPAIGN_LINES = JOB[JOB.index("campaigns:") : JOB.index("values:")]


def learner(text_of_it: str) -> Change:
    return whole(JOB.replace(LEARNER, f"learner: {text_of_it}"))


def csv(content: str) -> Change:
    """A training set of this text beside a good test set."""

    def change(folder: Path) -> None:
        table("{train: train.csv, test: test.csv, label: species}")(folder)
        (folder / "train.csv").write_text(content)

    return change


def truncated(folder: Path) -> None:
    table("{train: train.parquet, test: test.parquet, label: species}")(folder)
    path = folder / "train.parquet"
    path.write_bytes(path.read_bytes()[:-200])


FURTHER = [
    Bad("no campaign", whole(JOB.replace(CAMPAIGN_LINES, "campaigns: []\n")), ("job.yaml:5", "at least 1", "design:")),
    Bad(
        "one campaign without a list",
        whole(JOB.replace(CAMPAIGN_LINES, "campaigns: {design: uniform}\n")),
        ("job.yaml:5", "expected a list", "campaigns: [{"),
    ),
    Bad("a value twice", text("[downsampling,", "[banzhaf,"), ("job.yaml:8", "banzhaf stand twice")),
    Bad("no retrain at a time", text("c: 1.0", "together: 0"), ("job.yaml:4", "`auto`", "at least 1")),
    Bad("a learner in one word", learner("ridge"), ("job.yaml:4", "`ridge`", "{kind: logistic_regression}")),
    Bad("a function that is nowhere", learner("{kind: function, function: nowhere.py:f}"), ("nowhere.py", "not there")),
    Bad(
        "an estimator misspelt",
        learner("{kind: scikit_learn, estimator: sklearn.ensemble.RandomForestClasifier}"),
        ("RandomForestClasifier", "did you mean RandomForestClassifier"),
    ),
    Bad(
        "an estimator of Python's own",
        learner("{kind: scikit_learn, estimator: os.system}"),
        ("os.system", "Python's own", "sklearn.ensemble.RandomForestClassifier"),
    ),
    Bad(
        "an estimator that does not estimate",
        learner("{kind: scikit_learn, estimator: sklearn.preprocessing.StandardScaler}"),
        ("StandardScaler", "neither classifier nor regressor"),
    ),
    Bad("a tolerance of 2", whole(JOB + "tolerance: 2\n"), ("job.yaml:12: tolerance", "`2`", "below 1")),
    Bad("a probability of 0", text("probability: 0.5", "probability: 0"), ("job.yaml:7", "above 0", "0.5")),
    Bad("a time limit below 0", text("gpus: 0}", "gpus: 0, time_limit: -1}"), ("workers.time_limit", "-1")),
    Bad("no worker", text("cpus: 1, gpus: 0", "count: 0"), ("job.yaml:11: workers.count", "at least 1")),
    Bad("a task misspelt", text("test.npz}", "test.npz, task: clasification}"), ("`classification`", "did you mean")),
    Bad("an empty CSV", csv(""), ("job.yaml:3", "train.csv", "Empty")),
    Bad("a CSV of its header alone", csv("width,species\n"), ("train.csv", "0 training instances", "at least 2")),
    Bad("a column that stands twice", csv("a,a,species\n1,2,x\n3,4,y\n"), ("train.csv", "stand twice: a")),
    Bad("a Parquet file cut off", truncated, ("train.parquet", "cannot be read as Parquet", "write the file again")),
    Bad(
        "a label that the test set lacks",
        table(TABLE_DATA, lambda _, test: test.pop("species")),
        ("test.", "`species`"),
    ),
    Bad("complex features", npz(X=lambda X: X + 1j), ("complex128", "float32")),
    Bad("a weight in words", table(TABLE_DATA, in_column("weight", 3, "heavy")), ("weights", "numbers above 0")),
    Bad(
        "a row without a group",
        table(TABLE_DATA, in_column("patient", 3, " ")),
        ("1 row without a group", "first row 3"),
    ),
    Bad(
        "a label and nothing else",
        csv("species\nx\ny\nx\n"),
        ("train.csv", "features"),
    ),
    Bad("a function that yields", function("def load():\n    yield 1\n"), ("generator", '"X": X')),
]


DESIGNS = [
    Bad(
        "sizes for no semivalue",
        text(FIRST, "- {design: sizes, serves: shaply, retrains: 9}"),
        ("did you mean shapley",),
    ),
    Bad("sizes for nothing", text(FIRST, "- {design: sizes, retrains: 9}"), ("sizes needs serves", "serves: shapley")),
    Bad(
        "a share of 0",
        text(FIRST, "- {design: sizes, serves: {shapley: 0}, retrains: 9}"),
        ("job.yaml:6: campaigns[0].serves", "above 0"),
    ),
    Bad(
        "a walk of no known order",
        text(FIRST, "- {design: permutation, order: antithetical, retrains: 900}"),
        ("job.yaml:6: campaigns[0].order", "antithetic"),
    ),
    Bad(
        "less than two walks",
        text(FIRST, "- {design: permutation, retrains: 77}"),
        ("77 retrains will not do for permutation", "78 at least"),
    ),
    Bad(
        "a tolerance of 0 for walks",
        text(FIRST, "- {design: permutation, truncate: {tolerance: 0}, retrains: 900}"),
        ("campaigns[0].truncate.tolerance", "above 0"),
    ),
    Bad(
        "walks that stop on a loss that is not kept",
        text(FIRST, "- {design: permutation, truncate: {loss: hinge}, retrains: 900}"),
        ("job.yaml:6: campaigns[0].truncate.loss", "`hinge`", "cross_entropy"),
    ),
    Bad("folds of one", text(FIRST, "- {design: kfold, folds: 1, retrains: 9}"), ("campaigns[0].folds", "at least 2")),
    Bad("more folds than instances", text(FIRST, "- {design: kfold, folds: 41, retrains: 90}"), ("between 2 and 40",)),
    Bad(
        "pairs by two laws",
        text(FIRST, "- {design: paired, probability: 0.5, serves: shapley, retrains: 8}"),
        ("both probability and serves", "keep one"),
    ),
    Bad(
        "a column that is not there to leave out",
        text(FIRST, "- {design: leave_m_out, group: site}"),
        ("there is no array `site`",),
    ),
    Bad(
        "left out more than there are",
        text(FIRST, "- {design: leave_m_out, out: 40, retrains: 9}"),
        ("leave_m_out of 40 out of n = 40",),
    ),
    Bad(
        "no file of subsets",
        text(FIRST, "- {design: subsets_from_file, file: mine.npz}"),
        ("job.yaml:6: campaigns[0].file", "no file `mine.npz`", "did you mean"),
    ),
    Bad(
        "a file of subsets without members",
        text(FIRST, "- {design: subsets_from_file, file: train.npz}"),
        ("no array `members`", "arrays there: X, y"),
    ),
    Bad(
        "by neither size nor class",
        text(FIRST, "- {design: stratified, by: label, retrains: 99}"),
        ("campaigns[0].by", "`size`", "`class`"),
    ),
    Bad(
        "no replicate", text("fraction: 0.7", "fraction: 0.7, replicates: 0"), ("campaigns[0].replicates", "at least 1")
    ),
    Bad(
        "a function of a loss that is not kept",
        text("banzhaf]", '{value: banzhaf, of: "clip(cros_entropy, 1)"}]'),
        ("job.yaml:8: values[1]", "did you mean cross_entropy"),
    ),
    Bad(
        "a function that would be code",
        text("banzhaf]", "{value: banzhaf, of: \"__import__('os')\"}]"),
        ("job.yaml:8: values[1]", "no function is called '__import__'"),
    ),
    Bad(
        "an average over a group that the tests have not",
        text("banzhaf]", "{value: banzhaf, over: group}]"),
        ("job.yaml:8: values[1]", "the tests have no group", "data.test_group"),
    ),
    Bad(
        "a rule on the top of no size",
        text("retrains: 30", "retrains: {until: {value: banzhaf, statistic: top_undecided, below: 0.1, at_most: 99}}"),
        ("job.yaml:7", "top_undecided needs `top`", "top: 20"),
    ),
    Bad(
        "a rule that always holds",
        text("retrains: 30", "retrains: {until: {value: banzhaf, statistic: undecided_signs, below: 2, at_most: 99}}"),
        ("job.yaml:7", "undecided_signs is a share", "below: 0.05"),
    ),
]

ROWS_OF_TABLE = JOB_FILES + CAMPAIGNS + DESIGNS + DATA + CODE + FURTHER


def refuse(job: str) -> int:
    return run_command(["plan", job])


@pytest.mark.parametrize("row", ROWS_OF_TABLE, ids=lambda row: row.name)
def test_bad_input_gives_one_clear_message_and_the_right_exit_code(row, tmp_path, monkeypatch, capsys):
    write_good_job(tmp_path)
    row.change(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())

    code = refuse(row.job)

    out, said = capsys.readouterr()
    assert code == row.code, said + out
    assert said.startswith("error: ")
    for word in row.words:
        assert word in said
    for word in (*row.absent, "Traceback", "bug of apportion"):
        assert word not in said + out
    left = set(before) | {"__pycache__"}
    assert {path.name for path in tmp_path.iterdir()} <= left, (
        "something was written before the job was known to be right"
    )


def test_the_table_has_forty_rows_and_the_good_job_passes(tmp_path):
    assert len(ROWS_OF_TABLE) >= 40
    loaded, notes = load_checked(load_job(write_good_job(tmp_path)))
    assert loaded.dataset.n == ROWS
    assert notes == ()


def test_problems_of_the_job_and_of_its_data_come_in_one_error(tmp_path):
    write_good_job(tmp_path)
    wrong = JOB.replace("banzhaf]", "banzaf]").replace("train: train.npz", "train: gone.npz")

    with pytest.raises(JobError) as caught:
        load_checked(job_from_text(wrong, path=tmp_path / "job.yaml"))

    assert [problem.where.rpartition("/")[2] for problem in caught.value.problems] == [
        "job.yaml:8: values[1]",
        "job.yaml:3: data.train",
    ]


def test_a_password_in_the_job_file_is_warned_about_and_not_echoed(tmp_path):
    path = write_good_job(tmp_path)
    path.write_text(JOB.replace("sqlite:///apportion.db", "http://me:hunter2@host:5000"))

    job = load_job(path)

    assert len(job.origin.notes) == 1
    assert f"{path}:9: store.tracking_uri" in job.origin.notes[0]
    assert "hunter2" not in job.origin.notes[0]


NOTED = [
    ("a class of the test set only", npz(y_test=lambda y: set_at(y, 0, 7)), "classes that the training set lacks: 7"),
    (
        "equal rows with different labels",
        npz(X=lambda X: set_at(X, 1, X[0])),
        "2 training instances share their features",
    ),
    (
        "subsets that often miss a class",
        npz(y=lambda y: np.where(np.arange(ROWS) < 2, [7] * ROWS, y)),
        "job.yaml:7: campaigns[1]: about 25% of the subsets hold none of the 2 instances of class `7`",
    ),
    (
        "an overlap that is allowed",
        lambda folder: (
            npz(X_test=arrays()["X"][:TESTS], y_test=arrays()["y"][:TESTS])(folder),
            _data_line(folder, "{train: train.npz, test: test.npz, overlap: allow}"),
        ),
        "10 test instances stand in the training set too",
    ),
]


@pytest.mark.parametrize(("change", "note"), [row[1:] for row in NOTED], ids=[row[0] for row in NOTED])
def test_what_is_odd_but_not_wrong_is_noted(change, note, tmp_path):
    path = write_good_job(tmp_path)
    change(tmp_path)

    _, notes = load_checked(load_job(path))

    assert any(note in text for text in notes), notes


VALUES_OF_OTHER_KINDS = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        10**30,
        0.5,
        -1e308,
        "",
        "x",
        "../x",
        "\0",
        "é" * 300,
        "${HOME}",
        "$${x}",
        [],
        [[]],
        {},
        {"a": 1},
        ["x"],
        "~nobody",
    ]
)


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """The good job after one to three mutations: delete, retype, rename, duplicate, or one character changed."""
    job = yaml.safe_load(JOB)
    for _ in range(draw(st.integers(0, 2))):
        holder, key = draw(st.sampled_from(list(_places(job)) or [({}, "")]))
        _mutate(draw, holder, key)
    mutant = yaml.safe_dump(job, sort_keys=False, allow_unicode=True) if job else ""
    lines = mutant.splitlines(keepends=True) or [""]
    kind = draw(st.sampled_from(["none", "twice", "drop", "character"]))
    row = draw(st.integers(0, len(lines) - 1))
    if kind == "twice":
        lines.insert(row, lines[row])
    elif kind == "drop":
        del lines[row]
    elif kind == "character":
        place = draw(st.integers(0, len(lines[row])))
        lines[row] = lines[row][:place] + draw(st.sampled_from("\t:{}[]&*!|>'\"%@#,-? \x00é")) + lines[row][place:]
    return "".join(lines)


def _mutate(draw, holder, key):
    if isinstance(holder, list):
        holder[key] = draw(VALUES_OF_OTHER_KINDS)
        return
    kind = draw(st.sampled_from(["delete", "retype", "rename"]))
    if kind == "retype":
        holder[key] = draw(VALUES_OF_OTHER_KINDS)
    else:
        value = holder.pop(key, None)
        if kind == "rename":
            holder[draw(st.sampled_from([key + "s", key[:-1], key.upper(), "zzz"]))] = value


def _places(value):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_good_job(folder)
    return folder


@settings(max_examples=300, deadline=2000, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(mutant=mutants())
def test_a_mutated_job_is_either_right_or_refused_with_code_2_or_4(mutant, good_folder):
    try:
        loaded, _ = load_checked(job_from_text(mutant, path=good_folder / "job.yaml"))
    except ApportionError as error:
        refused = error
    else:
        assert loaded.dataset.n == ROWS
        return

    assert refused.exit_code in {2, 4}
    assert all(problem.what for problem in refused.problems)
    assert max(map(len, str(refused).splitlines())) < 600
