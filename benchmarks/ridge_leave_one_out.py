"""How much faster is ridge leave-one-out than refitting, and is it exact?

All n leave-one-out regressions of one data set, as rows of losses on every test instance. Refitting is scikit-learn's
`Ridge` and a bare Cholesky solution of the normal equations, both on a sample of the instances left out.
"""

import numpy as np
from harness.arithmetic import product_rate
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from scipy import linalg
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from workers.dataset import Dataset
from workers.learner_specs import RidgeSpec
from workers.learners.ridge import ridge_learner

N, D, N_TEST, SAMPLE = 5000, 50, 500, 40


def regression(seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    features = random.normal(size=(N + N_TEST, D)) * random.uniform(0.5, 5.0, D) + 3.0
    targets = features @ random.normal(size=D) + random.normal(size=N + N_TEST)
    return Dataset("regression", features[:N], targets[:N], features[N:], targets[N:])


def refitted(data: Dataset, left_out: np.ndarray) -> np.ndarray:
    """scikit-learn's predictions [left out, n_test]."""
    found = []
    for one in left_out:
        kept = np.arange(N) != one
        model = Ridge(alpha=1.0).fit(data.train_features[kept], data.train_labels[kept])
        found.append(model.predict(data.test_features))
    return np.array(found)


def solved(data: Dataset, left_out: np.ndarray) -> np.ndarray:
    """The leanest refit: normal equations of centred data by Cholesky; predictions [left out, n_test]."""
    found = []
    for one in left_out:
        kept = np.arange(N) != one
        X, y = data.train_features[kept], data.train_labels[kept]
        centre, mean = X.mean(axis=0), y.mean()
        centred = X - centre
        factor = linalg.cho_factor(centred.T @ centred + np.eye(D))
        found.append((data.test_features - centre) @ linalg.cho_solve(factor, centred.T @ (y - mean)) + mean)
    return np.array(found)


def main() -> None:
    data = regression()
    learner = ridge_learner(RidgeSpec(alpha=1.0, train_losses=False), data)
    together = learner.together

    def leave_one_out() -> list[np.ndarray]:
        losses = []
        for start in range(0, N, together):
            members = np.ones((min(together, N - start), N), dtype=bool)
            members[np.arange(len(members)), start + np.arange(len(members))] = False
            losses.append(learner.retrain(members, None).test["squared_error"])
        return losses

    sample = np.random.default_rng(1).choice(N, SAMPLE, replace=False)
    timed = in_turn(
        {
            "apportion": leave_one_out,
            "scikit-learn": lambda: refitted(data, sample),
            "Cholesky": lambda: solved(data, sample),
            "D's own solution": lambda: ridge_learner(learner.spec, data),
        }
    )
    members = np.ones((SAMPLE, N), dtype=bool)
    members[np.arange(SAMPLE), sample] = False
    models = learner.trained(members, None)
    predicted = models["coefficients"] @ data.test_features.T + models["intercepts"][:, None]
    exact = refitted(data, sample)
    error = np.abs(predicted - exact).max() / np.abs(exact).max()
    per_row = {name: t.median / (N if name == "apportion" else SAMPLE) for name, t in timed.items()}
    rate = product_rate(np.float64)
    print(machine("scikit-learn", "scipy"))
    print(f"n = {N}, {D} columns, {N_TEST} test instances, all {N} leave-one-out regressions, one thread, float64")
    print_table(
        ["leave-one-out", "microseconds a retrain", "times slower than apportion"],
        [
            ["apportion", f"{per_row['apportion'] * 1e6:.1f}", 1],
            *(
                [name, f"{per_row[name] * 1e6:.0f}", f"{ratio(timed[name], timed['apportion']) * N / SAMPLE:.0f}"]
                for name in ("scikit-learn", "Cholesky")
            ),
        ],
    )
    flops = 2 * N_TEST * D / per_row["apportion"]
    once = timed["D's own solution"].median
    print(f"largest error of a prediction against refitting: {error:.1e} of the largest prediction (to reach: 1e-8)")
    print(f"D's own solution, once: {once * 1e3:.0f} ms, {once / N * 1e6:.1f} microseconds a retrain")
    print(f"predictions alone at {flops / 1e9:.1f} of {rate / 1e9:.1f} GF/s: {flops / rate:.0%} of the product's rate")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
