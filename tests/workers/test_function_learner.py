"""The user's function: called as promised, and its answers checked."""

import numpy as np
import pytest
from learner_data import regression_data, seeds, subsets

from workers.errors import LearnerError
from workers.learner_specs import FunctionSpec
from workers.learners.function import function_learner

N, N_TEST = 12, 5


def learner_of(function, **arguments):
    spec = FunctionSpec(function="train.py:losses", arguments=arguments)
    return function_learner(spec, regression_data(n=N, n_test=N_TEST), function)


def mean_loss(members, seed, *, folder=None):
    return {"squared_error": np.full(N_TEST, members.mean()), "train_squared_error": np.arange(12.0)}


def one(function, **arguments):
    return learner_of(function, **arguments).retrain(subsets(1, N), seeds(1))


def test_each_subset_is_one_call_with_members_seed_and_arguments():
    calls = []

    def losses(members, seed, *, folder=None, rate):
        calls.append((members.dtype, members.copy(), seed, folder, rate))
        members[:] = True  # a copy: the caller's rows stay as they are
        return {"loss": np.zeros(N_TEST, dtype=np.float32)}

    members = subsets(3, N)
    kept = members.copy()
    numbers = np.array([1, 2**40 + 2, 3], dtype=np.uint64)
    found = learner_of(losses, rate=0.5).retrain(members, numbers)
    assert [(call[2], call[3], call[4]) for call in calls] == [(1, None, 0.5), (2, None, 0.5), (3, None, 0.5)]
    assert all(call[0] == np.bool_ for call in calls)
    np.testing.assert_array_equal([call[1] for call in calls], kept)
    np.testing.assert_array_equal(members, kept)
    assert found.test["loss"].shape == (3, N_TEST)
    assert found.train is None


def test_train_losses_carry_the_losss_name_after_train_():
    learner = learner_of(mean_loss)
    assert learner.losses == ()
    found = learner.retrain(subsets(2, N), seeds(2))
    assert learner.losses == ("squared_error",)
    assert found.train["squared_error"].shape == (2, N)
    assert found.train["squared_error"].dtype == np.float32


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "returned None, wanted a dict"),
        ({}, "an empty dict"),
        (np.zeros(N_TEST), "a ndarray, wanted a dict"),
        ({"loss": [0.0] * N_TEST}, "a list as loss.*numpy.asarray"),
        ({"loss": np.zeros(N_TEST - 1)}, r"shape \(4,\) as loss, wanted.*shape \(5,\)"),
        ({"loss": np.zeros((1, N_TEST))}, r"shape \(1, 5\)"),
        ({"loss": np.zeros(N_TEST, dtype=np.float16)}, "float16"),
        ({"loss": np.zeros(N_TEST, dtype=np.int64)}, "int64"),
        ({"train_loss": np.zeros(N)}, "wanted losses"),
        ({"a": np.zeros(N_TEST), "train_b": np.zeros(N)}, "for all of them or none train_"),
        ({"loss": np.zeros(N_TEST), "train_loss": np.zeros(N_TEST)}, "12 training rows"),
        ({"my loss": np.zeros(N_TEST)}, "a loss named 'my loss'"),
        ({3: np.zeros(N_TEST)}, "a loss named 3"),
    ],
)
def test_answers_of_another_form_are_refused(answer, message):
    with pytest.raises(LearnerError, match=message) as caught:
        one(lambda members, seed, *, folder=None: answer)
    assert "train.py:losses" in str(caught.value)


def test_the_names_stay_the_same_for_every_subset():
    def losses(members, seed, *, folder=None):
        return {"even" if seed % 2 == 0 else "odd": np.zeros(N_TEST)}

    with pytest.raises(LearnerError, match="odd for one subset, but even for another"):
        learner_of(losses).retrain(subsets(2, N), seeds(2))


@pytest.mark.parametrize("thing", [3, None, dict])
def test_what_is_no_function_is_refused(thing):
    with pytest.raises(LearnerError, match=r"wanted a function losses\(members, seed"):
        learner_of(thing)


def test_a_function_with_other_parameters_is_refused_before_it_is_called():
    with pytest.raises(LearnerError, match=r"cannot be called as losses\(members, seed.*missing a required argument"):
        learner_of(lambda members, seed, model: None)
    with pytest.raises(LearnerError, match="unexpected keyword argument 'rate'"):
        learner_of(mean_loss, rate=1.0)


def test_errors_of_the_function_go_through():
    def losses(members, seed, *, folder=None):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        one(losses)


def test_a_function_that_ends_the_program_is_an_error_like_another():
    def losses(members, seed, *, folder=None):
        raise SystemExit(3)

    with pytest.raises(LearnerError, match=r"ends the program \(sys.exit\(3\)\): raise an exception instead"):
        one(losses)
