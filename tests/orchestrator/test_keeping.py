"""A store verified, mended, joined, handed on, merged, tidied: nothing is lost, nothing is trained twice."""

import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from stored_job import hostile_job

from orchestrator import Job, open_result, run
from orchestrator.cli import run_command
from orchestrator.errors import JobError, StoreRefused
from orchestrator.keeping.carrying import LISTING, export, exported_source, job_source, merge
from orchestrator.keeping.garbage import garbage, remove
from orchestrator.keeping.verification import bad_files, repair
from orchestrator.progress import Screen
from orchestrator.results import open_stored, stored_job
from orchestrator.store.compaction import compact
from orchestrator.store.manifest import MANIFEST_TAG

CAMPAIGNS = [
    {"design": "bernoulli", "probability": 0.5, "retrains": 40},
    {"design": "uniform", "fraction": 0.7, "retrains": 20},
]


def carry_out(job: Job) -> str:
    said = io.StringIO()
    run(job, screen=Screen(said))
    return said.getvalue()


@pytest.fixture(scope="module")
def finished(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(template_database, folder / "apportion.db")
    carry_out(hostile_job(folder, "kept", campaigns=CAMPAIGNS))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "store"))


def the_job(folder: Path, **changes: object) -> Job:
    return hostile_job(folder, "kept", **({"campaigns": CAMPAIGNS} | changes))


def chunks(folder: Path) -> list[Path]:
    return sorted((folder / "apportion-artifacts").rglob("chunks/0*.parquet"))


def banzhaf(folder: Path) -> np.ndarray:
    return open_result(the_job(folder)).values("banzhaf", campaign="bernoulli").values


def test_a_whole_store_is_found_whole(folder):
    assert list(bad_files(stored_job(the_job(folder)))) == []


@pytest.mark.parametrize("spoil", [lambda b: b[:-20], lambda b: b[:90] + bytes([b[90] ^ 1]) + b[91:], lambda b: b""])
def test_a_bad_chunk_is_named_set_aside_and_its_rows_alone_are_trained_again(folder, spoil):
    before, victim = banzhaf(folder), chunks(folder)[0]
    victim.write_bytes(spoil(victim.read_bytes()))
    stored = stored_job(the_job(folder))
    [bad] = bad_files(stored)
    assert bad.name == victim.name
    with pytest.raises(StoreRefused, match=r"apportion verify JOB --repair"):
        banzhaf(folder)
    with stored.tracker.lease():
        [place] = repair(stored, [bad])
    assert Path(place).parent.name == "quarantine"
    assert Path(place).is_file()
    assert not victim.exists()
    assert list(bad_files(stored_job(the_job(folder)))) == []
    said = carry_out(the_job(folder))
    assert "are in the store already" in said
    np.testing.assert_array_equal(banzhaf(folder), before)
    rows = victim.name[:20]  # chunk number and rows hash: seconds differ, so the content's hash does too
    assert [path.name[:20] for path in chunks(folder)].count(rows) == 1


def test_plans_lists_of_identities_and_manifests_are_checked_and_mended_too(folder):
    before = banzhaf(folder)
    stored = stored_job(the_job(folder))
    run_of = stored.runs[0]
    with stored.tracker.lease():
        compact(
            stored.store, run_of.campaign_id, lambda name: stored.tracker.set_tags(run_of.run_id, {MANIFEST_TAG: name})
        )
    place = Path(stored.store.chunks.stores[run_of.campaign_id].address)
    manifest = next(place.glob("manifest-*"))
    spoilt = [place / "plan.json", next(place.glob("identities-train-*")), manifest]
    for path in spoilt:
        path.write_bytes(path.read_bytes()[:-5] + b"?????")
    stored = stored_job(the_job(folder))
    bad = list(bad_files(stored))
    assert {each.name for each in bad} == {path.name for path in spoilt}
    with stored.tracker.lease():
        repair(stored, bad)
    assert stored_job(the_job(folder)).runs[0].tags[MANIFEST_TAG] == ""
    carry_out(the_job(folder))
    assert list(bad_files(stored_job(the_job(folder)))) == []
    np.testing.assert_array_equal(banzhaf(folder), before)


def test_the_command_ends_with_5_and_with_repair_with_0(folder, capsys, monkeypatch):
    monkeypatch.setattr("orchestrator.commands.verify.load_job", lambda path: the_job(folder))
    assert run_command(["verify", "job.yaml"]) == 0
    assert "all whole" in capsys.readouterr().out
    victim = chunks(folder)[0]
    victim.write_bytes(b"")
    assert run_command(["verify", "job.yaml"]) == 5
    assert victim.name in capsys.readouterr().out
    assert run_command(["verify", "job.yaml", "--repair"]) == 0
    assert "apportion resume job.yaml" in capsys.readouterr().out


def test_joined_and_tidied_a_store_gives_the_same_values_and_trains_nothing(folder):
    job = the_job(folder, campaigns=[{**CAMPAIGNS[0], "retrains": 60}, CAMPAIGNS[1]])
    carry_out(job)  # a second file of the first campaign
    before, names = banzhaf(folder), [path.name for path in chunks(folder)]
    stored = stored_job(job)
    assert garbage(stored) == []
    with stored.tracker.lease():
        for run_of in stored.runs:
            compact(
                stored.store,
                run_of.campaign_id,
                lambda name, run_id=run_of.run_id: stored.tracker.set_tags(run_id, {MANIFEST_TAG: name}),
            )
    found = garbage(stored_job(job))
    assert {each.kind for each in found} == {"joined"}
    assert len(found) >= 2
    assert {each.name for each in found} < set(names)
    stored = stored_job(job)
    with stored.tracker.lease():
        remove(stored, found)
    assert garbage(stored_job(job)) == []
    np.testing.assert_array_equal(banzhaf(folder), before)
    assert "62 of 62 retrains are in the store already" in carry_out(job)


def test_rows_that_no_plan_names_are_shown_and_go_when_asked(folder, capsys, monkeypatch):
    from chunk_examples import example, named

    stored = open_stored(the_job(folder))
    run_of = stored.runs[0]
    [file, *_] = [each for each in stored.store.files() if each.campaign == run_of.campaign_id]
    header = stored.store.keys(file).header
    head, body = example(
        3, chunk=99, n=header.n, n_test=header.n_test, losses=header.losses, train_losses=header.train_losses
    )
    name, content = named(head.__class__(**{**{f: getattr(header, f) for f in header.__slots__}, "chunk": 99}), body)
    stored.store.chunks.stores[run_of.campaign_id].put(name, content)
    monkeypatch.setattr("orchestrator.commands.gc.load_job", lambda path: the_job(folder))
    assert run_command(["gc", "job.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "unplanned" in shown
    assert name in shown
    assert run_command(["gc", "job.yaml", "--yes"]) == 0
    assert name not in stored.store.chunks.stores[run_of.campaign_id].names()
    assert run_command(["gc", "job.yaml"]) == 0
    assert "0 things" in capsys.readouterr().out


def test_an_export_is_the_whole_store_with_hashes_and_merges_into_an_empty_one(
    folder, finished, tmp_path, template_database
):
    files, weight = export(stored_job(the_job(folder)), tmp_path / "handed-on")
    listing = json.loads((tmp_path / "handed-on" / LISTING).read_text())
    written = [path for path in (tmp_path / "handed-on" / "chunks").rglob("*") if path.is_file()]
    assert (files, weight) == (len(written), sum(path.stat().st_size for path in written))
    said = {file["name"]: file["sha256"] for each in listing["campaigns"] for file in each["files"]}
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written} == said
    with pytest.raises(JobError, match="is there already"):
        export(stored_job(the_job(folder)), tmp_path / "handed-on")

    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(template_database, other / "apportion.db")
    few = [{**CAMPAIGNS[0], "retrains": 4}]
    carry_out(the_job(other, campaigns=few))
    stored = stored_job(the_job(other, campaigns=few))
    with stored.tracker.lease():
        merge(stored, exported_source(tmp_path / "handed-on"), lambda text: None)
    said_again = carry_out(the_job(other))
    assert "42 of 42 retrains are in the store already" in said_again
    assert "22 of 22 retrains are in the store already" in said_again
    np.testing.assert_array_equal(banzhaf(other), banzhaf(folder))
    again = stored_job(the_job(other))
    with again.tracker.lease():
        assert merge(again, job_source(stored_job(the_job(folder))), lambda text: None) == 0


def test_a_spoilt_export_and_a_store_of_other_data_are_refused_before_anything_is_put(
    folder, tmp_path, template_database
):
    export(stored_job(the_job(folder)), tmp_path / "handed-on")
    victim = min((tmp_path / "handed-on" / "chunks").rglob("0*.parquet"))
    whole = victim.read_bytes()
    before = chunks(folder)
    stored = stored_job(the_job(folder))
    for content in (whole[:-1], b""):
        victim.write_bytes(content)
        with pytest.raises(StoreRefused, match=victim.name):
            merge(stored, exported_source(tmp_path / "handed-on"), lambda text: None)
    victim.unlink()
    with pytest.raises(StoreRefused, match="is not there"):
        merge(stored, exported_source(tmp_path / "handed-on"), lambda text: None)
    victim.write_bytes(whole)
    listing = json.loads((tmp_path / "handed-on" / LISTING).read_text())
    listing["fingerprints"]["learner"] = "0" * 32
    (tmp_path / "handed-on" / LISTING).write_text(json.dumps(listing))
    with pytest.raises(StoreRefused, match="learner"):
        merge(stored, exported_source(tmp_path / "handed-on"), lambda text: None)
    listing["campaigns"][0]["id"] = "../../outside"
    (tmp_path / "handed-on" / LISTING).write_text(json.dumps(listing))
    with pytest.raises(Exception, match="cannot be a file's name"):
        exported_source(tmp_path / "handed-on")
    assert chunks(folder) == before
    with pytest.raises(JobError, match=r"holds no store\.json"):
        exported_source(tmp_path / "nothing")


@pytest.fixture
def elsewhere(tmp_path, template_database):
    """A job on 30 subsets of its own, whose losses were computed by another loop."""
    shutil.copy(template_database, tmp_path / "apportion.db")
    rng = np.random.default_rng(3)
    members = rng.random((30, 40)) < 0.5
    members[7] = members[2]
    log_law = np.array([float(np.log(0.5)) * 40] * 41) + [
        float(np.sum(np.log(np.arange(40, 40 - k, -1))) - np.sum(np.log(np.arange(1, k + 1)))) for k in range(41)
    ]
    np.savez(tmp_path / "members.npz", members=members, log_size_law=log_law)
    losses = {name: rng.random((30, 10)).astype(np.float32) for name in ("cross_entropy", "zero_one")}
    np.savez(tmp_path / "losses.npz", **losses)
    campaigns = [{"design": "subsets_from_file", "file": "members.npz"}]
    learner = {"kind": "logistic_regression", "c": 1.0, "train_losses": False}
    return hostile_job(tmp_path, "elsewhere", campaigns=campaigns, learner=learner), members, losses


def test_rows_of_another_loop_are_taken_in_with_their_law(elsewhere, tmp_path, monkeypatch, capsys):
    job, _, losses = elsewhere
    monkeypatch.setattr("orchestrator.commands.import_.load_job", lambda path: job)
    words = ["import", "job.yaml", str(tmp_path / "members.npz"), str(tmp_path / "losses.npz")]
    assert run_command(words) == 0
    out = capsys.readouterr().out
    assert "29 rows taken in, 0 were in the store already" in out
    assert "1 row of subsets that an earlier row has" in out
    assert run_command(words) == 0
    assert "0 rows taken in, 29 were in the store already" in capsys.readouterr().out
    said = carry_out(job)
    assert "29 of 31 retrains are in the store already" in said, "D and the empty subset alone are trained"
    campaign = open_result(job).campaigns[0]
    read = next(campaign.retrains("zero_one", 0, 30))
    expected = losses["zero_one"].copy()
    expected[7] = expected[2]
    np.testing.assert_array_equal(read.losses, expected)
    assert any("imported" in note for note in campaign.values("banzhaf").notes)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m, v: (m[:, :39], v), "expected|give `members`"),
        (lambda m, v: (~m, v), "no campaign of the job plans these subsets"),
        (lambda m, v: (m, {"cross_entropy": v["cross_entropy"]}), "give zero_one"),
        (lambda m, v: (m, {**v, "zero_one": v["zero_one"][:, :9]}), r"expected numbers \(30, 10\)"),
        (lambda m, v: (m, {**v, "zero_one": np.full((30, 10), np.nan)}), "30 rows that are no numbers"),
        (lambda m, v: (m, {**v, "zero_one": v["zero_one"].astype(object)}), "allow_pickle=False|cannot be read"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_with_code_2(elsewhere, tmp_path, monkeypatch, capsys, spoil, words):
    job, members, losses = elsewhere
    monkeypatch.setattr("orchestrator.commands.import_.load_job", lambda path: job)
    members, losses = spoil(members, losses)
    np.savez(tmp_path / "m.npz", members=members)
    np.savez(tmp_path / "l.npz", **losses)
    assert run_command(["import", "job.yaml", str(tmp_path / "m.npz"), str(tmp_path / "l.npz")]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_values_carry_the_rows_they_used_and_stale_ones_are_marked(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("orchestrator.commands.values.load_job", lambda path: the_job(folder))
    monkeypatch.setattr("orchestrator.commands.verify.load_job", lambda path: the_job(folder))
    files = [tmp_path / f"values.{ending}" for ending in ("parquet", "npz", "csv")]
    for path in files:
        assert run_command(["values", "job.yaml", "--value", "banzhaf", "-o", str(path)]) == 0
    capsys.readouterr()
    monkeypatch.setattr("orchestrator.commands.query.load_job", lambda path: the_job(folder))
    for ending in ("parquet", "csv"):
        files.append(tmp_path / f"asked.{ending}")
        asked = ["query", "job.yaml", "select * from influence where test_index = 3 and value = 'banzhaf'"]
        assert run_command([*asked, "-o", str(files[-1])]) == 0
    files.append(tmp_path / "pooled.csv")
    pooled = ["values", "job.yaml", "--value", "banzhaf", "--campaign", "pooled", "-o", str(files[-1])]
    assert run_command(pooled) == 0
    capsys.readouterr()
    words = ["verify", "job.yaml", *(word for path in files for word in ("--values", str(path)))]
    assert run_command(words) == 0
    assert capsys.readouterr().out.count("of the rows that the store has now") == 6
    carry_out(the_job(folder, campaigns=[{**CAMPAIGNS[0], "retrains": 44}, CAMPAIGNS[1]]))
    assert run_command(words) == 0
    assert capsys.readouterr().out.count(": stale:") == 6
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert run_command(["verify", "job.yaml", "--values", str(tmp_path / "other.csv")]) == 0
    assert "says nothing of its rows" in capsys.readouterr().out
    for name, content in (("x.npz", b"no zip"), ("x.parquet", b"PAR1"), ("x.csv", b""), ("none.csv", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert run_command(["verify", "job.yaml", "--values", str(tmp_path / name)]) == 2
