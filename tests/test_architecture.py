"""The house rules that a test can hold: directions of imports, names, sizes, and calls that are never made."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("estimators", "workers", "orchestrator")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "core", "manager"}
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 50

FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_files_to_hold_to_the_rules() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("estimators", {"workers", "orchestrator", "ray", "mlflow", "pydantic"}),
        ("workers", {"orchestrator", "mlflow", "pydantic"}),
    ],
)
def test_imports_run_one_way(package: str, never: set[str]) -> None:
    wrong = [
        f"{relative(path)} imports {name}"
        for path in FILES
        if relative(path).startswith(package + "/")
        for name in imported(path)
        if name.split(".")[0] in never
    ]
    assert not wrong


def test_ray_is_imported_in_the_orchestrator_and_the_actor_shell_only() -> None:
    wrong = [
        relative(path)
        for path in FILES
        if relative(path).startswith("workers/") and relative(path) != "workers/actor.py"
        if any(name.split(".")[0] == "ray" for name in imported(path))
    ]
    assert not wrong


def test_files_are_named_by_their_concept() -> None:
    assert not [relative(path) for path in FILES if path.stem in FORBIDDEN_NAMES]


def test_files_hold_one_concept() -> None:
    assert not [relative(path) for path in FILES if path.read_text(encoding="utf-8").count("\n") > MOST_LINES]


def test_functions_are_short() -> None:
    long = []
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.FunctionDef):
                continue
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            if (node.end_lineno or 0) - node.lineno + 1 - docstring > MOST_LINES_OF_A_FUNCTION:
                long.append(f"{relative(path)}:{node.lineno} {node.name}")
    assert not long


def called(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_nothing_is_unpickled_evaluated_or_run_by_a_shell() -> None:
    wrong = []
    for path in FILES:
        for name, call in called(path):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if name in {"eval", "exec", "pickle.load", "pickle.loads", "joblib.load", "yaml.load", "os.system"}:
                wrong.append(f"{relative(path)}:{call.lineno} {name}")
            if keywords.get("shell") == "True" or keywords.get("allow_pickle") == "True":
                wrong.append(f"{relative(path)}:{call.lineno} {name}({keywords})")
            if name == "torch.load" and keywords.get("weights_only") != "True":
                wrong.append(f"{relative(path)}:{call.lineno} torch.load")
            if name in {"np.load", "numpy.load"} and keywords.get("allow_pickle") != "False":
                wrong.append(f"{relative(path)}:{call.lineno} np.load without allow_pickle=False")
    assert not wrong


def test_sql_is_never_built_from_strings() -> None:
    wrong = []
    for path in FILES:
        for name, call in called(path):
            built = bool(call.args) and isinstance(call.args[0], (ast.JoinedStr, ast.BinOp))
            if name.split(".")[-1] in {"execute", "sql", "executemany"} and built:
                wrong.append(f"{relative(path)}:{call.lineno} {name}")
    assert not wrong


@pytest.mark.parametrize("package", ["estimators", "workers", "orchestrator.cli", "orchestrator.jobs.job"])
def test_importing_is_silent_and_leaves_the_heavy_libraries_alone(package: str) -> None:
    script = (
        f"import sys, {package}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'ray', 'mlflow', 'sklearn'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    assert not done.stderr


def test_public_names_are_listed_and_sorted() -> None:
    for package in PACKAGES:
        tree = tree_of(ROOT / package / "__init__.py")
        lists = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
        ]
        assert len(lists) == 1, package
        names = ast.literal_eval(lists[0])
        assert names == sorted(names), package
