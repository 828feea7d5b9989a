"""G-Shapley: means of marginals over walks, their errors, and the sum that telescopes."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from estimators.aggregators.g_shapley import GShapley
from estimators.designs.walk import Walk
from estimators.errors import EstimatorError, ImpossibleDesign, WrongDesign
from estimators.retrains import Retrains
from estimators.walks import walks_of

N, N_TEST, WALKS = 7, 4, 30


def some_walks(count=WALKS, *, columns=(0, 1, 2, 3), seed=0, first=0):
    random = np.random.default_rng(seed)
    orders = Walk(n=N, seed=5).orders(first, first + count)
    full = random.gamma(1.0, 1.0, (count, N + 1, N_TEST))
    paths = np.concatenate([full[:, :, list(columns)], full.mean(axis=2, keepdims=True)], axis=2).astype(np.float32)
    return walks_of(orders, paths, np.array(columns))


def aggregator():
    return GShapley(value="g_shapley", loss="loss", design=Walk(n=N, seed=5), n_test=N_TEST)


def marginals_by_hand(walks):
    found = np.empty((len(walks.orders), N, walks.paths.shape[2]))
    for k, order in enumerate(walks.orders):
        for place, instance in enumerate(order):
            found[k, instance] = walks.paths[k, place].astype(float) - walks.paths[k, place + 1].astype(float)
    return found


def test_values_are_means_of_marginals_with_their_standard_errors():
    walks, made = some_walks(), aggregator()
    result = made.finish(made.update(made.empty(), walks))
    marginals = marginals_by_hand(walks)
    np.testing.assert_allclose(result.values, marginals[:, :, :-1].mean(axis=0), rtol=1e-12, atol=1e-15)
    errors = marginals.std(axis=0, ddof=1) / np.sqrt(WALKS)
    np.testing.assert_allclose(result.standard_errors, errors[:, :-1], rtol=1e-9)
    np.testing.assert_allclose(result.mean.values, marginals[:, :, -1].mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(result.mean.standard_errors, errors[:, -1], rtol=1e-9)
    assert (result.degrees_of_freedom == WALKS - 1).all()
    assert result.retrains == WALKS


def test_values_sum_to_the_loss_of_the_untouched_model_less_that_after_the_walk():
    walks, made = some_walks(), aggregator()
    result = made.finish(made.update(made.empty(), walks))
    fall = (walks.paths[:, 0].astype(float) - walks.paths[:, -1].astype(float)).mean(axis=0)
    np.testing.assert_allclose(result.values.sum(axis=0), fall[:-1], rtol=0, atol=1e-14)
    assert result.mean.values.sum() == pytest.approx(fall[-1], abs=1e-14)


def test_the_cut_of_the_stream_moves_no_bit_and_parts_merge():
    walks, made = some_walks(), aggregator()
    whole = made.finish(made.update(made.empty(), walks))
    state = made.empty()
    for rows in (slice(0, 3), slice(3, 17), slice(17, 30)):
        part = walks_of(walks.orders[rows], walks.paths[rows], walks.columns)
        state = made.update(state, part)
        made.finish(state)  # a result taken in between stays as it was
    assert made.finish(state).values.tobytes() == whole.values.tobytes()
    halves = [walks_of(walks.orders[rows], walks.paths[rows], walks.columns) for rows in (slice(0, 15), slice(15, 30))]
    merged = made.merge(*(made.update(made.empty(), half) for half in halves))
    np.testing.assert_allclose(made.finish(merged).standard_errors, whole.standard_errors, rtol=1e-12)
    assert made.finish(made.merge(made.empty(), merged)).retrains == WALKS


def test_test_instances_that_are_not_kept_are_unknown_and_the_mean_is_not():
    walks, made = some_walks(columns=(1, 3)), aggregator()
    result = made.finish(made.update(made.empty(), walks))
    assert np.isnan(result.values[:, [0, 2]]).all()
    assert np.isinf(result.standard_errors[:, [0, 2]]).all()
    np.testing.assert_allclose(result.values[:, 3], marginals_by_hand(walks)[:, :, 1].mean(axis=0), rtol=1e-12)
    assert np.isfinite(result.mean.standard_errors).all()
    assert "keep 2 of 4" in result.notes[0]


def test_marginals_that_all_agree_prove_no_certainty():
    made, walks = aggregator(), some_walks()
    paths = walks.paths.copy()
    for path, order in zip(paths, walks.orders, strict=True):
        place = int(np.flatnonzero(order == 2)[0])
        path[place + 1 :] += path[place] - path[place + 1]  # instance 2 never moves the loss
    result = made.finish(made.update(made.empty(), walks_of(walks.orders, paths, walks.columns)))
    np.testing.assert_allclose(result.values[2], 0.0, atol=1e-6)
    assert (result.standard_errors[2] > 0).all()


def test_one_walk_has_no_error_and_none_no_value():
    made = aggregator()
    one = made.finish(made.update(made.empty(), some_walks(1)))
    assert np.isnan(one.standard_errors).all()
    none = made.finish(made.empty())
    assert np.isnan(none.values).all()
    assert np.isinf(none.standard_errors).all()


def test_what_is_no_walk_is_refused():
    made = aggregator()
    with pytest.raises(WrongDesign, match="design walk"):
        made.update(made.empty(), Retrains(np.ones((1, N), dtype=bool), np.ones((1, N_TEST))))
    walks = some_walks(2)
    walks.paths[1, 3, 0] = np.nan
    with pytest.raises(EstimatorError, match="not finite"):
        made.update(made.empty(), walks)
    with pytest.raises(EstimatorError, match="different test instances"):
        made.update(made.update(made.empty(), some_walks(2)), some_walks(2, columns=(0, 2)))


def test_the_errors_cover_what_they_should():
    """400 campaigns of 25 walks on a game of known means: 95 % t intervals cover it, within a false alarm of 1e-4."""
    random, covered, trials = np.random.default_rng(11), 0, 400
    means = np.linspace(-1.0, 1.0, N)
    for trial in range(trials):
        orders = Walk(n=N, seed=trial).orders(0, 25)
        falls = means[orders] + random.normal(size=orders.shape)
        path = np.concatenate([np.zeros((25, 1)), -np.cumsum(falls, axis=1)], axis=1)
        paths = np.repeat(path[:, :, None], 2, axis=2)
        single = GShapley(value="g_shapley", loss="loss", design=Walk(n=N, seed=trial), n_test=1)
        mean = single.finish(single.update(single.empty(), walks_of(orders, paths, np.array([0])))).mean
        covered += int((np.abs(mean.values - means) <= mean.half_widths()).sum())
    assert abs(covered - 0.95 * trials * N) < 3.9 * np.sqrt(trials * N * 0.95 * 0.05)


RATE, START = 0.05, 0.5


def steps_of_least_squares(orders, starts, X, y):
    """Weights after 0, 1, ... steps of one instance each, [K, n + 1, d], of starting weights [K, d]."""
    path = [starts]
    for place in range(orders.shape[1]):
        x, t = X[orders[:, place]], y[orders[:, place]]
        gaps = (x * path[-1]).sum(axis=1) - t
        path.append(path[-1] - RATE * 2.0 * gaps[:, None] * x)
    return np.stack(path, axis=1)


def mean_marginals_over_seeds(X, y, test, target):
    """By definition: the mean over all orders; over starting weights N(0, START^2 I) by their mean and covariance."""
    n, d, found = len(X), X.shape[1], np.zeros(len(X))
    orders = np.array(list(permutations(range(n))))
    for order in orders:
        mean, spread = np.zeros(d), START**2 * np.eye(d)
        loss = (test @ mean - target) ** 2 + test @ spread @ test
        for i in order:
            step = np.eye(d) - RATE * 2.0 * np.outer(X[i], X[i])
            mean, spread = step @ mean + RATE * 2.0 * y[i] * X[i], step @ spread @ step.T
            after = (test @ mean - target) ** 2 + test @ spread @ test
            found[i] += (loss - after) / len(orders)
            loss = after
    return found


def test_the_errors_cover_the_mean_over_seeds_of_a_model_that_starts_at_random():
    # 400 campaigns of 40 walks, each from starting weights of its own; per instance between the 0.05 % and 99.95 %
    # binomial quantiles: a false-alarm rate of 0.1 % each
    rng, n = np.random.default_rng(17), 5
    X, y, test, target = rng.normal(size=(n, 2)), rng.normal(size=n), rng.normal(size=2), 0.4
    truth, counts = mean_marginals_over_seeds(X, y, test, target), np.zeros(n)
    for trial in range(400):
        design = Walk(n=n, seed=trial)
        orders = design.orders(0, 40)
        weights = steps_of_least_squares(orders, START * rng.normal(size=(40, 2)), X, y)
        paths = np.repeat(((weights @ test - target) ** 2)[:, :, None], 2, axis=2)
        made = GShapley(value="g_shapley", loss="loss", design=design, n_test=1)
        mean = made.finish(made.update(made.empty(), walks_of(orders, paths, np.array([0])))).mean
        counts += np.abs(mean.values - truth) <= mean.half_widths()
    least, most = stats.binom.ppf([0.0005, 0.9995], 400, 0.95)
    assert counts.min() >= least
    assert counts.max() <= most


def test_orders_are_permutations_that_do_not_depend_on_how_they_are_drawn():
    design = Walk(n=9, seed=3)
    orders = design.orders(0, 600)
    assert (np.sort(orders, axis=1) == np.arange(9)).all()
    assert np.array_equal(orders[250:270], design.orders(250, 270))
    counts = np.zeros((9, 9))
    for order in orders:
        counts[order, np.arange(9)] += 1
    expected = 600 / 9
    assert ((counts - expected) ** 2 / expected).sum() < 64 + 4.5 * np.sqrt(2 * 64)  # chi-squared, false alarm 1e-4
    with pytest.raises(ImpossibleDesign, match="learning_rate"):
        Walk(n=9, seed=3, rate=0.0)
