"""Data of every source become the same checked arrays and the same identities."""

import hashlib
import time

import numpy as np
import pandas as pd
import pytest
from good_job import JOB, ROWS, TABLE_DATA, TESTS, arrays, frames, write_good_job

from estimators.subsets import subset_keys
from orchestrator.data.datasets import load_data
from orchestrator.data.memory import arrays_data
from orchestrator.errors import JobError
from orchestrator.jobs.job import Job
from orchestrator.jobs.job_file import job_from_text


@pytest.fixture
def folder(tmp_path):
    write_good_job(tmp_path)
    return tmp_path


def loaded(folder, data):
    text = JOB.replace("{train: train.npz, test: test.npz}", data)
    return load_data(job_from_text(text, path=folder / "job.yaml"))


def in_memory(*given, learner="logistic_regression", **options):
    campaigns = [{"design": "bernoulli", "probability": 0.5, "retrains": 10}]
    return load_data(Job(name="a", data=arrays_data(*given, **options), learner={"kind": learner}, campaigns=campaigns))


def good(*, overlap="refuse", **changed):
    data = arrays() | changed
    return in_memory(data["X"], data["y"], data["X_test"], data["y_test"], overlap=overlap)


def same_instances(one, other):
    np.testing.assert_array_equal(one.train_identities, other.train_identities)
    np.testing.assert_array_equal(one.test_identities, other.test_identities)


def test_arrays_keep_their_dtype_shape_and_order(folder):
    data, given = loaded(folder, "{train: train.npz, test: test.npz}").dataset, arrays()

    np.testing.assert_array_equal(data.train_features, given["X"])
    np.testing.assert_array_equal(data.test_features, given["X_test"])
    np.testing.assert_array_equal(data.train_labels, given["y"])
    assert (data.n, data.n_test, data.task, data.classes) == (ROWS, TESTS, "classification", ("0", "1"))
    assert data.train_features.dtype == np.float64
    assert data.train_labels.dtype == np.int64


@pytest.mark.parametrize(
    ("given", "kept"), [("float16", "float32"), ("bool", "uint8"), ("int32", "int32"), (">f8", "float64"), ("f4", "f4")]
)
def test_dtypes_that_learners_cannot_read_become_the_nearest_that_they_can(given, kept):
    data = arrays()
    result = good(X=(10 * data["X"]).astype(given), X_test=(10 * data["X_test"]).astype(given), overlap="allow").dataset

    assert result.train_features.dtype == np.dtype(kept)
    np.testing.assert_array_equal(result.train_features, (10 * data["X"]).astype(given).astype(kept))


def test_csv_parquet_and_a_frame_in_memory_are_the_same_instances(folder):
    from_csv = loaded(folder, TABLE_DATA)
    from_parquet = loaded(folder, TABLE_DATA.replace("csv", "parquet"))
    train, test = frames()
    drop = ["patient", "weight", "id"]
    in_frames = in_memory(
        train.drop(columns=drop),
        None,
        test.drop(columns=drop),
        None,
        label="species",
        groups=train["patient"],
        weights=train["weight"],
        names=train["id"],
    )

    same_instances(from_csv, from_parquet)
    same_instances(from_csv, in_frames)
    assert from_csv.train_names == in_frames.train_names == tuple(f"row-{row}" for row in range(ROWS))
    np.testing.assert_array_equal(from_csv.dataset.train_features, from_parquet.dataset.train_features)


def test_a_text_column_is_one_hot_over_the_training_categories(folder):
    data = loaded(folder, TABLE_DATA).dataset
    train, test = frames()

    assert data.feature_names == ("height", "width", "depth", "flipped", "colour=green", "colour=red")
    expected = pd.get_dummies(train["colour"])[["green", "red"]].to_numpy(dtype=float)
    np.testing.assert_array_equal(data.train_features[:, 4:], expected)
    np.testing.assert_array_equal(data.test_features[:, 4:].sum(axis=1), np.ones(len(test)))


def test_a_category_of_the_test_set_only_is_all_zeros_and_noted():
    train = pd.DataFrame({"a": np.arange(6.0), "c": list("xyxyxy"), "label": list("abbaab")})
    test = pd.DataFrame({"a": [9.0, 10.0], "c": ["x", "z"], "label": ["a", "b"]})

    result = in_memory(train, None, test, None, label="label")

    np.testing.assert_array_equal(result.dataset.test_features, [[9.0, 1.0, 0.0], [10.0, 0.0, 0.0]])
    assert "z" in " ".join(result.notes)


def test_groups_are_players_and_their_names_stand_by_first_appearance(folder):
    result = loaded(folder, TABLE_DATA)

    assert result.dataset.n == 8
    assert result.dataset.group_names == tuple(f"p{group}" for group in range(8))
    np.testing.assert_array_equal(result.dataset.groups, np.arange(ROWS) % 8)
    assert result.train_identities.shape == (8, 16)


def test_a_group_s_identity_is_its_rows_whatever_their_order():
    data = arrays()
    order = np.random.default_rng(1).permutation(ROWS)
    groups = np.arange(ROWS) % 5

    one = in_memory(data["X"], data["y"], data["X_test"], data["y_test"], groups=groups)
    other = in_memory(data["X"][order], data["y"][order], data["X_test"], data["y_test"], groups=groups[order])

    assert {row.tobytes() for row in one.train_identities} == {row.tobytes() for row in other.train_identities}


def test_identities_do_not_depend_on_number_format():
    X = np.random.default_rng(2).integers(-3, 100, (30, 4))
    y = np.arange(30) % 3
    options = [("int16", "int64"), ("float32", "float64"), ("int64", "int8")]

    results = [
        in_memory(X[:20].astype(of_X), y[:20].astype(of_y), X[20:].astype(of_X), y[20:].astype(of_y))
        for of_X, of_y in options
    ]
    texts = in_memory(X[:20], y[:20].astype(str), X[20:], y[20:].astype(str))

    same_instances(results[0], results[1])
    same_instances(results[0], results[2])
    same_instances(results[0], texts)


@pytest.mark.parametrize("change", ["bit", "label", "weight"])
def test_one_changed_bit_label_or_weight_makes_one_other_instance(change):
    data, weights = arrays(), np.ones(ROWS)
    before = in_memory(data["X"], data["y"], data["X_test"], data["y_test"], weights=weights)
    if change == "bit":
        data["X"].view(np.uint64)[3, 1] ^= 1
    elif change == "label":
        data["y"][3] = 1 - data["y"][3]
    else:
        weights = np.where(np.arange(ROWS) == 3, 2.0, 1.0)
    after = in_memory(data["X"], data["y"], data["X_test"], data["y_test"], weights=weights)

    differ = (before.train_identities != after.train_identities).any(axis=1)
    assert np.flatnonzero(differ).tolist() == [3]


def test_a_subset_s_key_survives_reordering_the_training_file():
    data = arrays()
    order = np.random.default_rng(3).permutation(ROWS)
    one, other = good(), good(X=data["X"][order], y=data["y"][order])
    members = np.random.default_rng(4).random((20, ROWS)) < 0.5

    keys = subset_keys(members, one.train_identities)

    assert keys == subset_keys(members[:, order], other.train_identities)
    in_order = [result.dataset.train_features[result.dataset.order] for result in (one, other)]
    np.testing.assert_array_equal(*in_order)


def test_exact_copies_are_different_players():
    data = arrays()
    data["X"][1], data["y"][1] = data["X"][0], data["y"][0]

    result = good(X=data["X"], y=data["y"])

    assert len({row.tobytes() for row in result.train_identities}) == ROWS


def test_identities_are_the_hash_that_the_store_s_format_says():
    """An independent derivation: features as little-endian float64, label as text with its length before it."""
    data = arrays()
    features = hashlib.blake2b(data["X"][5].astype("<f8").tobytes(), digest_size=16).digest()
    content = features + b"1:" + str(data["y"][5]).encode()

    assert good().train_identities[5].tobytes() == hashlib.blake2b(content + b"#0", digest_size=16).digest()


def test_classes_sort_as_numbers_where_they_are_numbers():
    labels = np.array([10, 9, 2, 10, 9, 2])

    data = in_memory(np.eye(6), labels, 2 * np.eye(6)[:3], np.array([2, 9, 10])).dataset

    assert data.classes == ("2", "9", "10")
    assert [data.classes[code] for code in data.train_labels] == ["10", "9", "2"] * 2


@pytest.mark.parametrize(
    ("labels", "learner", "task"),
    [
        (np.linspace(0, 1, 6), "scikit_learn", "regression"),
        (np.arange(6) % 2, "scikit_learn", "classification"),
        (np.arange(6), "ridge", "regression"),
        (np.arange(6.0) % 2, "logistic_regression", "classification"),
        (["a", "b"] * 3, "scikit_learn", "classification"),
        (np.arange(6) % 2 == 0, "scikit_learn", "classification"),
    ],
)
def test_the_task_follows_the_learner_and_then_the_labels(labels, learner, task):
    spec = {"kind": learner} | ({"estimator": "sklearn.dummy.DummyClassifier"} if learner == "scikit_learn" else {})
    data = arrays_data(np.eye(6), labels, 2 * np.eye(6)[:2], labels[:2])
    job = Job(name="a", data=data, learner=spec, campaigns=[{"design": "leave_one_out"}])

    result = load_data(job).dataset

    assert result.task == task
    assert result.train_labels.dtype == (np.float64 if task == "regression" else np.int64)


def test_a_function_gives_arrays_names_groups_weights_and_known_label_errors(folder):
    (folder / "data.py").write_text(
        "import numpy as np\n"
        "def load(rows: int):\n"
        "    X = np.arange(4.0 * (rows + 2)).reshape(-1, 2, 2)\n"
        "    y = np.arange(rows + 2) % 2\n"
        "    return dict(X=X[:rows], y=y[:rows], X_test=X[rows:], y_test=y[rows:],\n"
        "                id=[f'i{k}' for k in range(rows)],\n"
        "                weight=np.ones(rows), group=np.arange(rows) // 2,\n"
        "                wrong=np.arange(rows) == 3, image_shape=(2, 2))\n"
    )
    text = JOB.replace("{train: train.npz, test: test.npz}", "{train: data.py:load, arguments: {rows: 6}}")

    job = job_from_text(text + "report: {known_label_errors: wrong}\n", path=folder / "job.yaml")
    result = load_data(job)

    assert result.dataset.train_features.shape == (6, 2, 2)
    assert result.dataset.n == 3
    assert result.train_names == tuple(f"i{k}" for k in range(6))
    assert result.image_shape == (2, 2)
    np.testing.assert_array_equal(result.known_label_errors, [False, True, False])
    np.testing.assert_array_equal(result.dataset.weights, np.ones(6))


def test_lists_of_one_length_in_a_table_are_features_each():
    train = pd.DataFrame({"embedding": [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], "label": ["a", "b", "a"]})

    data = in_memory(train, None, train.assign(embedding=[[0.0, 0.0]] * 3), None, label="label").dataset

    assert data.feature_names == ("embedding[0]", "embedding[1]")
    np.testing.assert_array_equal(data.train_features, [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])


def test_names_may_be_odd_and_are_kept_as_they_are():
    data = arrays()
    names = ["=1+1", "../x", "a\nb", "<script>", "é" * 5000, *map(str, range(ROWS - 5))]

    result = in_memory(data["X"], data["y"], data["X_test"], data["y_test"], names=names)

    assert list(result.train_names) == names


def test_loading_5000_images_takes_well_under_a_second():
    generator = np.random.default_rng(0)
    X, y = generator.random((6000, 784), dtype=np.float32), generator.integers(0, 10, 6000)

    began = time.perf_counter()
    in_memory(X[:5000], y[:5000], X[5000:], y[5000:])

    assert time.perf_counter() - began < 2.0  # measured 0.12 s; the bound leaves room for a busy machine


def test_sparse_matrices_and_ragged_lists_are_refused_with_what_to_write():
    with pytest.raises(JobError, match=r"no array"):
        in_memory([[1.0], [2.0, 3.0]], [0, 1], [[1.0]], [0])
    with pytest.raises(JobError, match=r"toarray"):
        in_memory(object(), [0, 1], [[1.0]], [0])
