"""How many multinomial logistic regressions a second on subsets of one half of 200 digits, at equal losses?

Against a plain scikit-learn loop at its default tolerance and against pyDVL's maximum-sample-reuse Banzhaf, which fits
the same subsets through scikit-learn. One thread each. The main row stops where our losses are at least as near the
exact ones as scikit-learn's are at its default tolerance (checked, and printed); the others stop at given gradients.
"""

import warnings
from collections.abc import Callable

import numpy as np
from harness.arithmetic import product_rate
from harness.logistic_limits import bytes_moved, operations, seconds_of_passes, seconds_of_products, steps_of
from harness.logistic_rivals import distances, exact, looped
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from workers.dataset import Dataset
from workers.learner_specs import LogisticRegressionSpec
from workers.learners.logistic_regression import LogisticRegressionLearner, logistic_regression_learner

N, N_TEST, SAMPLE, CHECKED = 200, 1000, 16, 8
EQUAL_LOSSES = {16.0: 3e-4, 1.0: 2e-3}
"""Gradient tolerances at which our losses are at least as near the exact ones as scikit-learn's default: by scale."""
THEIRS = "scikit-learn, gradient 1e-4"


def digits(scale: float) -> Dataset:
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / scale, y[order]
    test = slice(N, N + N_TEST)
    return Dataset("classification", X[:N], y[:N], X[test], y[test], classes=tuple("0123456789"))


def valued_by_pydvl(data: Dataset) -> Callable[[], int] | None:
    """Runs `SAMPLE` updates of maximum sample reuse and says how many models were fitted; None without pyDVL."""
    try:
        from pydvl.valuation import Dataset as TheirDataset  # noqa: PLC0415 - a peer that may be absent
        from pydvl.valuation import MaxUpdates, ModelUtility, MSRBanzhafValuation, SupervisedScorer  # noqa: PLC0415
    except ImportError:
        return None
    train, test = (
        TheirDataset(data.train_features, data.train_labels),
        TheirDataset(data.test_features, data.test_labels),
    )

    def run() -> int:
        fitted = []

        def accuracy(model: LogisticRegression, X: np.ndarray, y: np.ndarray) -> float:
            fitted.append(1)
            return float(model.score(X, y))

        utility = ModelUtility(LogisticRegression(max_iter=5000), SupervisedScorer(accuracy, test, default=0.0))
        MSRBanzhafValuation(utility, is_done=MaxUpdates(2 * SAMPLE), seed=1).fit(train)
        return len(fitted)

    return run


def main() -> None:
    print(machine("scikit-learn", "scipy", "pydvl"))
    rows, notes = [], []
    for name, scale in (("pixels in 0..1", 16.0), ("pixels in 0..16", 1.0)):
        measure(name, digits(scale), EQUAL_LOSSES[scale], rows, notes)
    print(f"{N} digits, 64 columns, 10 classes, {N_TEST} test instances, subsets of one half, one thread")
    print_table(["features", "trained by", "retrains/s", "times slower than apportion"], rows)
    for note in notes:
        print(note)


def measure(name: str, data: Dataset, equal: float, rows: list[list[object]], notes: list[str]) -> None:
    main_row = f"apportion, equal losses (gradient {equal:.0e})"
    tolerances = {main_row: equal, "apportion, gradient 1e-4": 1e-4, "apportion, gradient 1e-6": 1e-6}
    learners = {
        each: logistic_regression_learner(
            LogisticRegressionSpec(train_losses=False, gradient_tolerance=tolerance), data
        )
        for each, tolerance in tolerances.items()
    }
    together = learners[main_row].together
    members = np.random.default_rng(1).random((2 * together, N)) < 0.5
    groups = [members[:together], members[together:]]
    candidates: dict[str, Callable[[], object]] = {
        each: lambda learner=learner: [learner.retrain(group, None) for group in groups]
        for each, learner in learners.items()
    }
    candidates[THEIRS] = lambda: looped(data, members[:SAMPLE])
    counts = dict.fromkeys(candidates, len(members)) | {THEIRS: SAMPLE}
    theirs = valued_by_pydvl(data)
    if theirs is not None:
        candidates["pyDVL MSR"], counts["pyDVL MSR"] = theirs, theirs()
    timed = in_turn(candidates, turns=5)
    ours = timed[main_row]
    for candidate, times in timed.items():
        slower = ratio(times, ours) * len(members) / counts[candidate]
        rows.append([name, candidate, f"{counts[candidate] / times.median:.0f}", f"{slower:.1f}"])
    if theirs is None:
        rows.append([name, "pyDVL MSR", "not installed", ""])
    wanted = exact(data, members[:CHECKED])
    found = {each: learner.retrain(members[:CHECKED], None).test for each, learner in learners.items()}
    losses = {each: kept["cross_entropy"] for each, kept in found.items()} | {THEIRS: looped(data, members[:CHECKED])}
    far = {candidate: distances(each, wanted) for candidate, each in losses.items()}
    for candidate, (mean, single) in far.items():
        notes.append(
            f"{name}, {candidate}: mean losses within {mean:.1e} of the exact ones, single losses {single:.1e}"
        )
    if any(mine > other for mine, other in zip(far[main_row], far[THEIRS], strict=True)):
        notes.append(f"{name}: the losses are NOT equal: the main row stops too early here")
    each = (ours.median / len(members), timed[THEIRS].median / SAMPLE)
    notes.append(f"{name}: {limit(learners[main_row], groups[0], *each)}")


def limit(learner: LogisticRegressionLearner, members: np.ndarray, ours: float, theirs: float) -> str:
    """The roofline of the descents, and how near the whole retrain comes. ours, theirs: seconds a retrain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = steps_of(lambda: learner.retrain(members, None))
    products, passes = (seconds(steps) / len(members) for seconds in (seconds_of_products, seconds_of_passes))
    rate, least = operations(steps) / len(members) / products, products + passes
    return (
        f"limit of its descents: products alone {products * 1e6:.0f} us a retrain, at {rate / 1e9:.0f} of the"
        f" {product_rate(np.float32) / 1e9:.0f} GF/s that large products reach; passes over"
        f" {bytes_moved(steps) / len(members) / 1e6:.1f} MB {passes * 1e6:.0f} us; together {1 / least:.0f} retrains/s,"
        f" {theirs / least:.0f} times scikit-learn's rate; reached {least / ours:.0%} of it (preconditioners, losses of"
        " test instances and calls are the rest)"
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
