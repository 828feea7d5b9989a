"""Job files as people write them, and the text that replays a job."""

import pytest
import yaml
from good_job import JOB

from orchestrator.errors import JobError
from orchestrator.jobs.job import Job
from orchestrator.jobs.job_errors import EXAMPLES
from orchestrator.jobs.job_file import job_from_text, load_job
from orchestrator.jobs.job_text import replayable


def parsed(tmp_path, text, **environment):
    return job_from_text(text, path=tmp_path / "job.yaml", environment=environment)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("1e-3", 0.001), ("1E3", 1000.0), ("+2e0", 2.0), (".5e1", 5.0), ("1_000", 1000.0), ("0x10", 16.0), ("0.5", 0.5)],
)
def test_numbers_are_read_as_people_mean_them(typed, meant, tmp_path):
    assert parsed(tmp_path, JOB.replace("c: 1.0", f"c: {typed}")).learner.c == meant


@pytest.mark.parametrize("typed", ["1e", "e3", "2024-01-01", "1:30", "1e-3x", "'1e3'", '"12"'])
def test_what_is_no_number_stays_text(typed, tmp_path):
    job = parsed(tmp_path, JOB.replace("test: test.npz", f"test: test.npz, arguments: {{a: {typed}}}"))

    assert job.data.arguments == {"a": typed.strip("'\"")}


def test_whole_numbers_may_be_written_with_an_exponent(tmp_path):
    assert parsed(tmp_path, JOB.replace("retrains: 20", "retrains: 2e3")).campaigns[0].retrains == 2000


def test_variables_are_replaced_and_doubled_dollars_stand_for_one(tmp_path):
    text = JOB.replace("train: train.npz", 'train: "${FOLDER}/$${x}/train.npz"')

    assert parsed(tmp_path, text, FOLDER="/data").data.train == "/data/${x}/train.npz"


def test_a_variable_s_content_is_shown_in_no_error(tmp_path):
    text = JOB.replace("seed: 7", 'seed: "${SECRET}"').replace("probability: 0.5", 'probability: "${SECRET}"')

    with pytest.raises(JobError) as caught:
        parsed(tmp_path, text, SECRET="hunter2")

    assert "hunter2" not in str(caught.value)
    assert "`${SECRET}` will not do" in str(caught.value)


def test_anchors_and_merges_share_options(tmp_path):
    text = JOB.replace("- {design: uniform, fraction: 0.7", "- &first {design: uniform, fraction: 0.7").replace(
        "- {design: bernoulli, probability: 0.5,", "- {<<: *first, fraction: 0.5, name: half,"
    )

    first, second = parsed(tmp_path, text).campaigns

    assert (first.fraction, second.fraction, second.design, second.retrains) == (0.7, 0.5, "uniform", 30)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + JOB.encode())

    assert load_job(path).name == "good"


def test_every_problem_of_a_file_is_told_in_the_order_of_its_lines(tmp_path):
    text = JOB.replace("seed: 7", "seed: x").replace("0.7", "7").replace("cpus: 1", "cpu: 1").replace("c: 1.0", "c: 0")

    with pytest.raises(JobError) as caught:
        parsed(tmp_path, text)

    places = [problem.where.rpartition(": ")[2] for problem in caught.value.problems]
    assert places == ["seed", "learner.c", "campaigns[0].fraction", "workers.cpu"]


def test_errors_found_late_name_the_line_too(tmp_path):
    job = parsed(tmp_path, JOB)

    assert job.origin.where("campaigns", 1, "probability").endswith("job.yaml:7: campaigns[1].probability")
    assert job.origin.where("campaigns", 1, "size").endswith("job.yaml:7: campaigns[1].size")
    assert Job.model_validate(yaml.safe_load(JOB)).origin.where("data", "train") == "data.train"


def test_values_in_messages_are_cut_to_80_characters(tmp_path):
    with pytest.raises(JobError) as caught:
        parsed(tmp_path, JOB.replace("seed: 7", f"seed: {'x' * 5000}"))

    assert "x" * 70 in str(caught.value)
    assert "x" * 81 not in str(caught.value)


def test_the_examples_in_messages_are_right(tmp_path):
    whole = "\n".join(EXAMPLES[key] for key in ("name", "data", "learner", "campaigns", "values", "seed", "store"))

    assert parsed(tmp_path, whole).values == ("banzhaf", "memorization")


@pytest.mark.parametrize(
    "learner",
    ["", "kind: torch, model: m.py:N, arguments: {a: 1e-3, b: no}, checkpoint: {every: 10 min}", "kind: ridge"],
)
def test_the_replayable_text_is_read_back_as_the_same_job(learner, tmp_path):
    text = JOB.replace("kind: logistic_regression, c: 1.0", learner or "kind: logistic_regression, c: 2")
    text = text.replace("retrains: 30", "retrains: {until: {value: banzhaf, below: 1e-3, at_most: 90}}")
    job = parsed(tmp_path, text.replace("test: test.npz", 'test: "$${x}.npz"'))

    assert parsed(tmp_path, replayable(job)) == job


@pytest.mark.parametrize("every", ["0", "ten", "10 minutes", "-5 s"])
def test_what_is_no_length_of_time_is_refused_with_what_to_write(every, tmp_path):
    learner = f"kind: torch, model: m.py:N, checkpoint: {{every: {every}}}"
    with pytest.raises(JobError, match=r"learner\.checkpoint\.every.*`10 min`"):
        parsed(tmp_path, JOB.replace("kind: logistic_regression, c: 1.0", learner))


def test_the_replayable_text_holds_no_secret_and_names_the_variable(tmp_path):
    text = JOB.replace('"sqlite:///apportion.db"', '"http://me:${PASSWORD}@host"').replace(
        "test: test.npz", "test: test.npz, arguments: {api_key: abc123, url: 'http://a:hunter2@b'}"
    )

    public = replayable(parsed(tmp_path, text, PASSWORD="hunter2"))

    assert "hunter2" not in public
    assert "abc123" not in public
