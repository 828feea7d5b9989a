"""Kept models: the losses of a model read back are those of the retrain, and its file is found from the chunk's."""

import dataclasses

import numpy as np
import pytest
from learner_data import assert_same_bits, classification_data, regression_data, seeds, subsets
from test_chunk_trainer import Memory, facts, task_of

from workers.chunk_file import decode, parse_name
from workers.chunk_types import Fingerprints
from workers.errors import ChunkError, LearnerError
from workers.keeping import ModelKeeper, keeper_of
from workers.learner_specs import LinearSvmSpec, LogisticRegressionSpec, RidgeSpec, ScikitLearnSpec
from workers.learners import make_learner
from workers.model_file import beside, decode_models, models_of_chunk
from workers.outcomes import Failure, Receipt
from workers.training import ChunkTrainer

PRINTS = Fingerprints(train="a" * 32, test="b" * 32, learner="c" * 32, code="d" * 32)


def odd_subsets(n, count=7):
    members = subsets(count, n)
    members[0], members[1] = True, False  # D and the empty subset
    members[2] = np.arange(n) == 3  # a single instance, of a single class
    return members


CASES = {
    "two classes": (LogisticRegressionSpec(), classification_data(classes=2)),
    "three classes": (LogisticRegressionSpec(), classification_data(classes=3)),
    "no intercept": (LogisticRegressionSpec(fit_intercept=False), classification_data(classes=3)),
    "support vectors, two classes": (LinearSvmSpec(), classification_data(classes=2)),
    "support vectors, three": (LinearSvmSpec(), classification_data(classes=3)),
    "ridge": (RidgeSpec(), regression_data()),
    "groups": (RidgeSpec(), regression_data(groups=np.arange(60) // 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_of_kept_models_are_those_of_the_retrain(case):
    spec, data = CASES[case]
    learner = make_learner(spec, data)
    assert isinstance(learner, ModelKeeper)
    members = odd_subsets(learner.n)
    models, retrained = learner.trained(members, seeds(7)), learner.retrain(members, seeds(7))
    again = learner.losses_of(models)
    assert_same_bits(again.test, retrained.test)
    assert_same_bits(again.train, retrained.train)


@pytest.mark.parametrize("case", CASES)
def test_kept_models_on_other_tests_and_losses_are_what_a_retrain_with_these_gives(case):
    spec, data = CASES[case]
    random = np.random.default_rng(9)
    order = random.permutation(data.n_test)[:11]
    other = dataclasses.replace(
        data, test_features=data.test_features[order] + 0.25, test_labels=np.roll(data.test_labels[order], 1)
    )
    more = ("margin", "zero_one") if data.task == "classification" else ("absolute_error",)
    members = odd_subsets(data.n)
    kept = make_learner(spec, data).trained(members, seeds(7))
    learner = make_learner(dataclasses.replace(spec, losses=more), other)
    retrained, found = learner.retrain(members, seeds(7)), learner.losses_of(kept)
    for name, values in retrained.test.items():
        np.testing.assert_allclose(found.test[name], values, rtol=1e-5, atol=1e-6)


def keeping(learner, **changes):
    losses = learner.losses
    train = losses if learner.retrain(np.ones((1, learner.n), bool), seeds(1)).train else ()
    base = facts(n=learner.n, n_test=learner.n_test, losses=losses, train_losses=train, keep=True)
    return dataclasses.replace(base, **changes)


def test_models_are_put_before_their_chunk_and_found_from_its_name():
    learner, store = make_learner(RidgeSpec(), regression_data()), Memory()
    receipt = ChunkTrainer(learner, store, keeping(learner)).train(task := task_of(n=60))
    assert isinstance(receipt, Receipt)
    models_file, chunk_file = store.files
    assert chunk_file == receipt.name
    assert models_of_chunk(models_file) == beside(parse_name(chunk_file))
    kept = decode_models(models_file, store.files[models_file])
    assert kept.keys == task.keys
    rows = decode(store.files[chunk_file]).rows
    assert_same_bits(learner.losses_of(kept.rows([4, 2])).test, {n: v[[4, 2]] for n, v in rows.losses.items()})


def test_models_of_a_chunk_are_the_same_bytes_each_time():
    learner, stores = make_learner(RidgeSpec(), regression_data()), (Memory(), Memory())
    for store in stores:
        ChunkTrainer(learner, store, keeping(learner)).train(task_of(n=60))
    assert next(iter(stores[0].files)) == next(iter(stores[1].files))


def test_a_store_that_refuses_the_models_gets_no_chunk():
    learner, store = make_learner(RidgeSpec(), regression_data()), Memory(broken=True)
    outcome = ChunkTrainer(learner, store, keeping(learner)).train(task_of(n=60))
    assert isinstance(outcome, Failure)
    assert outcome.kind == "storage"


def test_damaged_and_foreign_models_are_refused_by_name():
    learner, store = make_learner(RidgeSpec(), regression_data()), Memory()
    ChunkTrainer(learner, store, keeping(learner)).train(task_of(n=60))
    name, content = next(iter(store.files.items()))
    flipped = bytearray(content)
    flipped[-1] ^= 1
    with pytest.raises(ChunkError, match="damaged"):
        decode_models(name, bytes(flipped))
    with pytest.raises(ChunkError, match="no file of kept models"):
        decode_models("0000003-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet", content)
    with pytest.raises(LearnerError, match="coefficients"):
        make_learner(LogisticRegressionSpec(), classification_data()).losses_of(decode_models(name, content).models)


def test_what_cannot_be_kept_says_so():
    learner = make_learner(ScikitLearnSpec(estimator="sklearn.linear_model.Ridge"), regression_data())
    with pytest.raises(LearnerError, match=r"learner\.keep.*without executing code"):
        keeper_of(learner)
