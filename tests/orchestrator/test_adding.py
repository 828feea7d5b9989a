"""Adding to what is there: whatever is asked beyond a store, exactly that is trained, and no file is touched."""

import hashlib
import shutil
from pathlib import Path

import pytest
from test_run import a_job, cancer, carried_out

from orchestrator import Job, open_result
from workers.chunk_file import decode_keys

BERNOULLI = {"design": "bernoulli", "probability": 0.5, "retrains": 40}
UNIFORM = {"design": "uniform", "size": 40, "retrains": 30}
UNTIL = {"value": "banzhaf_sample_reuse", "below": 0.08, "at_most": 200, "every": 50}


def chunk_hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("chunks/0*.parquet")}


def rows_of(folder: Path) -> dict[str, set[tuple[bytes, int]]]:
    """Rows by chunk file."""
    found = {}
    for path in folder.rglob("chunks/0*.parquet"):
        keys = decode_keys(path.read_bytes(), name=path.name)
        found[path.name] = set(zip(keys.keys, keys.replicates.tolist(), strict=True))
    return found


def planned(result) -> set[tuple[bytes, int]]:
    return {(row.key, row.replicate) for campaign in result.campaigns for row in campaign.row_ids()}


def with_campaigns(folder: Path, *campaigns: dict[str, object], **changes: object) -> Job:
    """One cheap value of those that the designs permit."""
    bernoulli = any(campaign["design"] == "bernoulli" for campaign in campaigns)
    values = ["banzhaf_sample_reuse" if bernoulli else "downsampling"]
    return a_job(folder, **{"campaigns": list(campaigns), "values": values, **changes})


ADDITIONS = {
    "a raised budget": ([{**BERNOULLI, "retrains": 55}], {}, 15),
    "another design": ([BERNOULLI, UNIFORM], {}, 30),
    "a design in place of another": ([UNIFORM], {}, 30),
    "another seed of the design": ([{**BERNOULLI, "seed": 99}], {}, 40),
    "another seed of the job": ([BERNOULLI], {"seed": 99}, 40),
    "replicates of the same subsets": ([{**BERNOULLI, "replicates": 2}], {"values": ["banzhaf"]}, None),
    "another value": ([BERNOULLI], {"values": ["datamodel"]}, 0),
    "a lowered budget": ([{**BERNOULLI, "retrains": 20}], {}, 0),
    "everything again": ([BERNOULLI], {}, 0),
}


@pytest.fixture(scope="module")
def begun(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one campaign of 40 draws."""
    folder = tmp_path_factory.mktemp("begun")
    shutil.copy(template_database, folder / "apportion.db")
    carried_out(with_campaigns(folder, BERNOULLI))
    return folder


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_trains_what_the_store_lacks_and_nothing_else(begun, tmp_path, name):
    campaigns, changes, wanted = ADDITIONS[name]
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    hashes, known = chunk_hashes(tmp_path), set().union(*rows_of(tmp_path).values())
    result, _ = carried_out(with_campaigns(tmp_path, *campaigns, **changes))
    after = chunk_hashes(tmp_path)
    assert {file: after.get(file) for file in hashes} == hashes, "no file is touched"
    added = [row for file, rows in rows_of(tmp_path).items() if file not in hashes for row in rows]
    assert len(added) == len(set(added)), "no row is trained twice"
    assert set(added) == planned(result) - known, "exactly what was missing"
    if wanted is not None:
        assert len(added) == wanted
    assert open_result(with_campaigns(tmp_path, *campaigns, **changes)).values(
        result.campaigns[0].value_names[0]
    ).values.shape == (60, 20)


@pytest.mark.usefixtures("tracking_database")
def test_a_rule_may_be_raised_later_and_goes_on_from_what_is_there(tmp_path, template_database):
    first = with_campaigns(tmp_path, {**BERNOULLI, "retrains": {"until": UNTIL}})
    coarse, _ = carried_out(first)
    hashes, known = chunk_hashes(tmp_path), set().union(*rows_of(tmp_path).values())
    below = round(0.6 * float(coarse.values("banzhaf_sample_reuse").standard_errors.mean()), 4)
    finer = {**BERNOULLI, "retrains": {"until": {**UNTIL, "below": below, "at_most": 600}}}
    fine, said = carried_out(with_campaigns(tmp_path, finer))
    assert coarse.campaigns[0].plan.draws < fine.campaigns[0].plan.draws <= 600
    assert f"(wanted: below {below:g})" in said
    after = chunk_hashes(tmp_path)
    assert {file: after.get(file) for file in hashes} == hashes
    added = [row for file, rows in rows_of(tmp_path).items() if file not in hashes for row in rows]
    assert len(added) == len(set(added))
    assert not known & set(added)
    assert fine.campaigns[0].id == coarse.campaigns[0].id, "the same campaign"
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "apportion.db").write_bytes(template_database.read_bytes())
    at_once, _ = carried_out(with_campaigns(fresh, finer))
    assert at_once.campaigns[0].plan.draws == fine.campaigns[0].plan.draws
    assert (
        at_once.values("banzhaf_sample_reuse").values.tobytes() == fine.values("banzhaf_sample_reuse").values.tobytes()
    )
    again, _ = carried_out(first)  # the weaker rule is met where it was met before
    assert again.campaigns[0].plan.draws == coarse.campaigns[0].plan.draws
    fixed, said = carried_out(with_campaigns(tmp_path, {**BERNOULLI, "retrains": 650}))
    assert fixed.campaigns[0].plan.draws == 650
    assert f"{fine.campaigns[0].plan.draws + 2} of 652 retrains are in the store already" in said


@pytest.mark.usefixtures("tracking_database")
def test_another_loss_is_added_by_retrains_and_from_kept_models_by_none(tmp_path):
    learner = {"kind": "logistic_regression", "c": 0.1, "losses": ["cross_entropy"], "keep": True}
    result, _ = carried_out(a_job(tmp_path, learner=learner))
    hashes = chunk_hashes(tmp_path)
    extended = result.extend(losses=("zero_one",), name="more")
    assert chunk_hashes(tmp_path) == hashes, "forward passes alone"
    _, said = carried_out(a_job(tmp_path, learner={**learner, "losses": ["cross_entropy", "zero_one"]}))
    assert "in the store already" not in said, "a row without the loss is trained again, with its own seed"
    both = open_result(a_job(tmp_path, learner={**learner, "losses": ["cross_entropy", "zero_one"]}))
    assert both.values("banzhaf").values.tobytes() == result.values("banzhaf").values.tobytes()
    same = both.values("banzhaf", loss="zero_one").values == extended.values("banzhaf", loss="zero_one").values
    assert same.all()


def test_other_test_instances_are_another_store_unless_they_are_added_by_extend(begun):
    data = cancer()
    moved = {**data, "X_test": data["X_test"][:10], "y_test": data["y_test"][:10]}
    with pytest.raises(Exception, match="test set") as refused:
        carried_out(a_job(begun, data=moved))
    assert getattr(refused.value, "exit_code", 0) == 5
    assert "extend" in str(refused.value), "how to add tests is said"
