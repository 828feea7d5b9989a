"""`apportion methods`: every value and design, options, and what a job's store can answer."""

from pathlib import Path

from click.testing import CliRunner

from estimators.registry import DESIGNS, VALUES
from orchestrator.commands import methods
from orchestrator.job_run import run
from orchestrator.jobs.job_file import load_job


def said(*arguments: str) -> str:
    result = CliRunner().invoke(methods.command, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_every_value_and_design_is_listed_with_its_source_and_cost() -> None:
    listed = said()
    for method in VALUES.values():
        assert f"{method.name} " in listed
        assert method.paper in listed
        assert method.cost in listed
    for design in DESIGNS:
        assert design in listed


def test_a_value_shows_its_options() -> None:
    assert "option   alpha: the weight of small subsets, above 0 (default 4)" in said("beta_shapley")


def test_of_a_job_it_says_what_the_store_can_answer(tmp_path: Path, template_database: Path) -> None:
    (tmp_path / "apportion.db").write_bytes(template_database.read_bytes())
    (tmp_path / "data.py").write_text(
        "import numpy as np\n"
        "def made():\n"
        "    rng = np.random.default_rng(0)\n"
        "    X = rng.normal(size=(30, 3))\n"
        "    y = X[:, 0] + 0.1 * rng.normal(size=30)\n"
        "    return {'X': X[:24], 'y': y[:24], 'X_test': X[24:], 'y_test': y[24:]}\n"
    )
    file = tmp_path / "job.yaml"
    file.write_text(
        "name: few\n"
        "data: {train: data.py:made, task: regression}\n"
        "learner: {kind: ridge}\n"
        "campaigns: [{design: bernoulli, probability: 0.5, retrains: 40}]\n"
        "values: [banzhaf, {value: weighted_banzhaf, probability: 0.5}]\n"
        "cluster: {address: in_process}\n"
    )
    result = run(load_job(file))
    first, second = (result.values(label) for label in ("banzhaf", "weighted_banzhaf(probability=0.5)"))
    assert second.value == "weighted_banzhaf(probability=0.5)"
    assert first.values.tobytes() == second.values.tobytes()
    answers = said("--job", str(file))
    assert "banzhaf                yes, from bernoulli" in answers
    assert "leave_one_out          no: leave_one_out cannot be computed" in answers
    assert "run design leave_one_out" in answers
