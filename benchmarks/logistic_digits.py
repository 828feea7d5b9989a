"""How many multinomial logistic regressions a second on subsets of one half of 200 digits, at equal losses?

Against a plain scikit-learn loop at its default tolerance and against pyDVL's maximum-sample-reuse Banzhaf, which fits
the same subsets through scikit-learn. One thread each.
"""

import warnings
from collections.abc import Callable

import numpy as np
from harness.arithmetic import product_rate
from harness.logistic_rivals import distances, exact, looped
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from workers.dataset import Dataset
from workers.learner_specs import LogisticRegressionSpec
from workers.learners import linear_rows
from workers.learners.logistic_regression import logistic_regression_learner

N, N_TEST, SAMPLE, CHECKED = 200, 1000, 16, 8
LOOSE = 3e-4


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
        measure(name, digits(scale), rows, notes)
    print(f"{N} digits, 64 columns, 10 classes, {N_TEST} test instances, subsets of one half, one thread")
    print_table(["features", "trained by", "retrains/s", "times slower than apportion"], rows)
    for note in notes:
        print(note)


def measure(name: str, data: Dataset, rows: list[list[object]], notes: list[str]) -> None:
    default = logistic_regression_learner(LogisticRegressionSpec(train_losses=False), data)
    equal = logistic_regression_learner(LogisticRegressionSpec(train_losses=False, gradient_tolerance=1e-4), data)
    loose = logistic_regression_learner(LogisticRegressionSpec(train_losses=False, gradient_tolerance=LOOSE), data)
    members = np.random.default_rng(1).random((2 * default.together, N)) < 0.5
    groups = [members[: default.together], members[default.together :]]
    candidates: dict[str, Callable[[], object]] = {
        "apportion, gradient 1e-4": lambda: [equal.retrain(group, None) for group in groups],
        f"apportion, gradient {LOOSE:.0e}": lambda: [loose.retrain(group, None) for group in groups],
        "apportion, gradient 1e-6": lambda: [default.retrain(group, None) for group in groups],
        "scikit-learn, gradient 1e-4": lambda: looped(data, members[:SAMPLE]),
    }
    counts = dict.fromkeys(candidates, len(members)) | {"scikit-learn, gradient 1e-4": SAMPLE}
    theirs = valued_by_pydvl(data)
    if theirs is not None:
        candidates["pyDVL MSR"], counts["pyDVL MSR"] = theirs, theirs()
    timed = in_turn(candidates)
    ours = timed["apportion, gradient 1e-4"]
    for candidate, times in timed.items():
        slower = ratio(times, ours) * len(members) / counts[candidate]
        rows.append([name, candidate, f"{counts[candidate] / times.median:.0f}", f"{slower:.1f}"])
    if theirs is None:
        rows.append([name, "pyDVL MSR", "not installed", ""])
    wanted = exact(data, members[:CHECKED])
    for candidate, found in (
        ("apportion, gradient 1e-4", equal.retrain(members[:CHECKED], None).test["cross_entropy"]),
        (f"apportion, gradient {LOOSE:.0e}", loose.retrain(members[:CHECKED], None).test["cross_entropy"]),
        ("apportion, gradient 1e-6", default.retrain(members[:CHECKED], None).test["cross_entropy"]),
        ("scikit-learn, gradient 1e-4", looped(data, members[:CHECKED])),
    ):
        mean, single = distances(found, wanted)
        notes.append(
            f"{name}, {candidate}: mean losses within {mean:.1e} of the exact ones, single losses {single:.1e}"
        )
    notes.append(f"{name}: {share(equal, members, ours.median)}")


def share(learner: object, members: np.ndarray, seconds: float) -> str:
    """Share of the machine's product rate, by the products of descents counted while they run."""
    flops, calls = [0], linear_rows.OwnRows.sums

    def counted(self, parameters, residuals):  # noqa: ANN001, ANN202 - as in the class
        flops[0] += 4 * parameters.size * self.features.shape[1]
        return calls(self, parameters, residuals)

    linear_rows.OwnRows.sums = counted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner.retrain(members, None)
    linear_rows.OwnRows.sums = calls
    rate = product_rate(np.float32)
    return (
        f"products of descents at {flops[0] / seconds / 1e9:.1f} of {rate / 1e9:.0f} GF/s over the whole retrain:"
        f" {flops[0] / seconds / rate:.0%} of the float32 product's rate"
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
