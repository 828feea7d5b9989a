"""How many binary logistic regressions a second on halves of 5,000 to 50,000 rows, at equal losses?

Against a plain scikit-learn loop at its default tolerance (lbfgs), one thread each.
"""

import numpy as np
from harness.arithmetic import product_rate
from harness.logistic_rivals import distances, exact, looped
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from threadpoolctl import threadpool_limits

from workers.dataset import Dataset
from workers.learner_specs import LogisticRegressionSpec
from workers.learners import linear_rows
from workers.learners.logistic_regression import LogisticRegressionLearner, logistic_regression_learner

SHAPES = ((5000, 20), (20000, 30), (50000, 50))
N_TEST, SAMPLE, CHECKED = 1000, 6, 2


def drawn(n: int, d: int) -> Dataset:
    """Correlated columns of unlike scales; labels from a logistic model with noise."""
    random = np.random.default_rng(n)
    features = random.normal(size=(n + N_TEST, d)) @ (np.eye(d) + 0.3 * random.normal(size=(d, d)) / np.sqrt(d))
    features *= random.uniform(0.5, 2.0, d)
    logits = features @ random.normal(size=d) / np.sqrt(d) * 1.5
    labels = (random.random(n + N_TEST) < 1.0 / (1.0 + np.exp(-logits))).astype(np.int64)
    return Dataset(
        "classification", features[:n], labels[:n], features[n:], labels[n:], classes=("negative", "positive")
    )


def products(learner: LogisticRegressionLearner, members: np.ndarray) -> int:
    """Operations of the products that one call of retrain spends on descents."""
    spent, sums = [0], linear_rows.SharedRows.sums

    def counted(self, parameters, residuals):  # noqa: ANN001, ANN202 - as in the class
        spent[0] += 4 * parameters.size * len(self.features)
        return sums(self, parameters, residuals)

    linear_rows.SharedRows.sums = counted
    learner.retrain(members, None)
    linear_rows.SharedRows.sums = sums
    return spent[0]


def main() -> None:
    rate = product_rate(np.float32)
    rows, notes = [], []
    for n, d in SHAPES:
        data = drawn(n, d)
        equal, default = (
            logistic_regression_learner(LogisticRegressionSpec(train_losses=False, gradient_tolerance=tolerance), data)
            for tolerance in (1e-4, 1e-6)
        )
        members = np.random.default_rng(1).random((default.together, n)) < 0.5
        timed = in_turn(
            {
                "apportion, gradient 1e-4": lambda: equal.retrain(members, None),  # noqa: B023 - called at once
                "apportion, gradient 1e-6": lambda: default.retrain(members, None),  # noqa: B023
                "scikit-learn, gradient 1e-4": lambda: looped(data, members[:SAMPLE]),  # noqa: B023
            }
        )
        ours = timed["apportion, gradient 1e-4"]
        for name, times in timed.items():
            count = SAMPLE if name.startswith("scikit") else len(members)
            slower = ratio(times, ours) * len(members) / count
            rows.append([f"{n:,} x {d}", name, f"{count / times.median:.1f}", f"{slower:.1f}"])
        wanted = exact(data, members[:CHECKED])
        for name, found in (
            ("apportion, gradient 1e-4", equal.retrain(members[:CHECKED], None).test["cross_entropy"]),
            ("apportion, gradient 1e-6", default.retrain(members[:CHECKED], None).test["cross_entropy"]),
            ("scikit-learn, gradient 1e-4", looped(data, members[:CHECKED])),
        ):
            mean, single = distances(found, wanted)
            notes.append(f"{n:,} x {d}, {name}: mean losses within {mean:.1e} of the exact ones, single {single:.1e}")
        reached = products(equal, members) / ours.median
        notes.append(
            f"{n:,} x {d}: products of descents at {reached / 1e9:.0f} of {rate / 1e9:.0f} GF/s over the whole retrain:"
            f" {reached / rate:.0%} of the float32 product's rate (rows outside a subset and padding counted)"
        )
    print(machine("scikit-learn", "scipy"))
    print(f"binary labels, {N_TEST} test instances, subsets of one half, one thread")
    print_table(["data", "trained by", "retrains/s", "times slower than apportion"], rows)
    for note in notes:
        print(note)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
