"""`apportion evaluate` on a small stored job: what is held out, what is judged, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from good_job import JOB, write_good_job

from estimators.evaluation import linear_datamodeling_score
from estimators.retrains import joined
from estimators.subsets import pack
from orchestrator.cli import run_command
from orchestrator.evaluation.evaluate import evaluate
from orchestrator.evaluation.held_out import held_out, seen_subsets
from orchestrator.evaluation.record import Evaluation
from orchestrator.jobs.job_file import load_job
from orchestrator.results import JobResult, open_result, stored_job

CAMPAIGNS = """\
  - {design: uniform, fraction: 0.5, retrains: 300}
  - {design: leave_one_out}
values: [downsampling, leave_one_out]
"""


@pytest.fixture(scope="module")
def job(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_good_job(tmp_path_factory.mktemp("evaluate"))
    head, _, tail = JOB.partition("  - {design")
    path.write_text(head + CAMPAIGNS + tail.partition("values: [downsampling, banzhaf]\n")[2])
    shutil.copy(template_database, path.parent / "apportion.db")
    assert run_command(["run", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def result(job: Path) -> JobResult:
    return open_result(load_job(job))


def test_what_is_held_out_are_the_last_draws_and_their_losses(result: JobResult) -> None:
    held = held_out(result, loss=None, share=0.2)
    block = joined(list(result.campaigns[0].retrains("cross_entropy", 240, 300)))
    order = {row.tobytes(): place for place, row in enumerate(pack(block.members))}
    assert (held.draws, held.campaign.name) == (240, "uniform")
    places = [order[row.tobytes()] for row in pack(held.members)]
    np.testing.assert_array_equal(held.losses, block.losses[places])
    assert held.ceiling.score == 1.0


def test_a_value_is_computed_without_the_rows_it_is_judged_on(result: JobResult) -> None:
    found = evaluate(result)
    held = held_out(result, loss=None, share=0.2)
    kept = held.unseen([seen_subsets(result.campaigns[0], 240)])
    before = result.campaigns[0].values("downsampling", draws=240)
    by_hand = linear_datamodeling_score(before.values, held.members[kept], held.losses[kept], units=held.units[kept])
    judged = {each.name: each for each in found.estimators}["downsampling"]
    assert judged.draws == 240
    assert judged.datamodeling.value == by_hand.score
    assert judged.datamodeling.standard_error == by_hand.standard_error
    assert by_hand.score > 5 * by_hand.standard_error


def test_values_that_have_seen_the_held_out_rows_would_score_better(result: JobResult) -> None:
    found = {each.name: each for each in evaluate(result).estimators}
    held = held_out(result, loss=None, share=0.2)
    everything = result.values("downsampling")
    leaky = linear_datamodeling_score(everything.values, held.members, held.losses, units=held.units)
    assert leaky.score > found["downsampling"].datamodeling.value


def test_subsets_of_other_campaigns_are_left_out(result: JobResult) -> None:
    held = held_out(result, loss=None, share=0.2)
    seen = frozenset(row.tobytes() for row in pack(held.members[:7]))
    assert held.unseen([seen]).tolist() == [False] * 7 + [True] * (len(held.members) - 7)


def test_values_correlate_with_leave_one_out_and_are_not_compared_with_themselves(result: JobResult) -> None:
    judged = {each.name: each for each in evaluate(result).estimators}
    assert set(judged["downsampling"].references) == {"leave_one_out"}
    assert judged["downsampling"].references["leave_one_out"].value > 0.2
    assert judged["leave_one_out"].references == {}


def test_a_matrix_from_elsewhere_is_judged_as_a_value_is(result: JobResult, tmp_path: Path) -> None:
    values = result.campaigns[0].values("downsampling", draws=240).values
    np.savez(tmp_path / "mine.npz", values=values)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(40), rng.permutation(10)
    np.savez(
        tmp_path / "turned.npz",
        scores=values[np.ix_(rows, columns)].T,
        axes=np.array(["test", "train"]),
        train=rows,
        test=np.array([str(j) for j in columns]),
    )
    np.savez(tmp_path / "shuffled.npz", values=rng.normal(size=values.shape))
    files = [tmp_path / f"{name}.npz" for name in ("mine", "turned", "shuffled")]
    judged = {each.name: each for each in evaluate(result, scores=files, references=files[:1]).estimators}
    assert judged["mine"].datamodeling == judged["downsampling"].datamodeling == judged["turned"].datamodeling
    assert judged["downsampling"].references["mine"].value == pytest.approx(1.0)
    assert judged["shuffled"].datamodeling.value < judged["mine"].datamodeling.value


def test_only_differences_beyond_three_errors_are_told(result: JobResult, tmp_path: Path) -> None:
    np.savez(tmp_path / "noise.npz", values=np.random.default_rng(2).normal(size=(40, 10)))
    found = evaluate(result, scores=[tmp_path / "noise.npz"])
    assert ("downsampling", "noise") in {(each.better, each.worse) for each in found.differences}
    assert all(each.difference > 3 * each.standard_error > 0 for each in found.differences)


def test_the_command_writes_json_and_csv_and_shows_it_in_the_report(job: Path, capsys) -> None:
    assert run_command(["evaluate", str(job)]) == 0
    said = capsys.readouterr().out
    assert "datamodeling score" in said
    assert "downsampling" in said
    assert said.rstrip().splitlines()[-1].startswith("Next:")
    kept = Evaluation.decode((job.parent / "good-evaluation.json").read_bytes())
    table = pd.read_csv(job.parent / "good-evaluation.csv")
    assert table["datamodeling_score"].tolist() == [each.datamodeling.value for each in kept.estimators]
    assert 'id="faithfulness"' in (job.parent / "good-report.html").read_text(encoding="utf-8")
    assert Evaluation.decode(kept.encode()) == kept
    assert Evaluation.decode(json.dumps({"format": 0}).encode()) is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": np.zeros((40, 10))}, ["`values`", "numpy.savez"]),
        ({"values": np.zeros((40, 10)), "scores": np.zeros((40, 10))}, ["both"]),
        ({"values": np.zeros((10, 40))}, ["10 training", "has 40", "axes"]),
        ({"values": np.zeros(40)}, ["(40,)", "[train, test]"]),
        ({"values": np.full((40, 10), np.inf)}, ["infinite", "NaN"]),
        ({"values": np.zeros((40, 10)), "axes": np.array(["a", "b"])}, ["axes", "train"]),
        ({"values": np.zeros((2, 10)), "train": np.array([0, 40])}, ["no training instance 40"]),
        ({"values": np.zeros((2, 10)), "train": np.array([3, 3])}, ["twice"]),
        ({"values": np.zeros((2, 10)), "train": np.array([3])}, ["`train` names (1,)", "2"]),
        ({"values": np.zeros((40, 10)), "self_influence": np.zeros(3)}, ["self_influence", "(3,)"]),
        ({"values": np.array([[object()] * 10] * 40)}, ["Python objects"]),
    ],
)
def test_a_file_that_is_no_such_matrix_is_refused_in_words(job: Path, tmp_path: Path, capsys, arrays, words) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    assert run_command(["evaluate", str(job), "--scores", str(tmp_path / "bad.npz")]) == 2
    said = capsys.readouterr().err
    for word in [*words, "bad.npz"]:
        assert word in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--campaign", "leave_one_out"], ["leave_one_out", "at random", "uniform"]),
        (["--campaign", "nope"], ["nope"]),
        (["--hold-out", "0.01"], ["1%", "at least 10"]),
        (["--loss", "hinge"], ["hinge", "cross_entropy"]),
        (["--scores", "nowhere.npz"], ["nowhere.npz", "no such file"]),
    ],
)
def test_a_wrong_question_is_refused_in_words(job: Path, capsys, options, words) -> None:
    assert run_command(["evaluate", str(job), *options]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said


def test_a_file_that_is_no_archive_is_refused(job: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "bad.npz").write_text("no archive")
    assert run_command(["evaluate", str(job), "--scores", str(tmp_path / "bad.npz")]) == 2
    assert "bad.npz" in capsys.readouterr().err


def test_removal_retrains_without_what_is_valued_highest(job: Path, capsys) -> None:
    assert run_command(["evaluate", str(job), "--removal"]) == 0
    kept = Evaluation.decode((job.parent / "good-evaluation.json").read_bytes())
    rises = {(point.order, point.share): point.rise for point in kept.removal}
    assert set(rises) == {
        (order, share) for order in ("downsampling", "leave_one_out", "random") for share in (0.05, 0.1, 0.2, 0.3)
    }
    learner = stored_job(load_job(job)).prepared.learner()
    result = open_result(load_job(job))
    values = result.campaigns[0].values("downsampling", draws=240).data_values().values
    members = np.ones((2, 40), dtype=bool)
    members[0, np.argsort(-values, kind="stable")[:8]] = False
    losses = learner.retrain(members, np.zeros(2, dtype=np.uint64)).test["cross_entropy"].mean(axis=1)
    assert rises["downsampling", 0.2] == pytest.approx(float(losses[0] - losses[1]), abs=1e-6)
    assert rises["downsampling", 0.3] > rises["random", 0.3]
    assert "without 20% by downsampling" in capsys.readouterr().out
    assert "Removal by retraining" in (job.parent / "good-report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert run_command(["evaluate", str(job), "--removal"]) == 0  # nothing is trained again
    assert "removal: 0 of" not in capsys.readouterr().err
    assert run_command(["run", str(job)]) == 0
