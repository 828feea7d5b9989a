"""On real data: values of digits by logistic regression predict retrains that they have not seen."""

import numpy as np
from sklearn.datasets import load_digits

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.evaluation import linear_datamodeling_score
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains
from workers.dataset import Dataset
from workers.learner_specs import LogisticRegressionSpec
from workers.learners import make_learner

N, TESTS, DRAWS, HELD_OUT = 200, 60, 600, 120


def test_values_of_digits_predict_held_out_retrains_by_more_than_five_errors() -> None:
    X, y = load_digits(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(y))[: N + TESTS]
    X, y = X[chosen] / 16.0, y[chosen]
    data = Dataset("classification", X[:N], y[:N], X[N:], y[N:], classes=tuple(str(k) for k in range(10)))
    learner = make_learner(LogisticRegressionSpec(c=1.0), data, None, device="cpu")
    design = make_design("uniform", n=N, seed=1, size=(N // 2,))
    members = design.draws(0, DRAWS)
    ends = np.stack([np.ones(N, dtype=bool), np.zeros(N, dtype=bool)])
    subsets = np.concatenate([members, ends])
    losses = learner.retrain(subsets, np.zeros(len(subsets), dtype=np.uint64)).test["cross_entropy"].astype(np.float64)
    seen = slice(0, DRAWS - HELD_OUT)
    known = EndRows(full=losses[DRAWS : DRAWS + 1], empty=losses[DRAWS + 1], deterministic=True)
    draws = np.arange(DRAWS)
    method = value_method("downsampling").make(loss="cross_entropy", ends=known, design=design)
    rows = Retrains(members[seen], losses[:DRAWS][seen], draws=draws[seen], units=draws[seen])
    values = aggregate(method, [rows]).values
    held = slice(DRAWS - HELD_OUT, DRAWS)
    found = linear_datamodeling_score(values, members[held], losses[held])
    assert found.score > 5 * found.standard_error
    shuffled = linear_datamodeling_score(
        values, members[held], losses[held][np.random.default_rng(2).permutation(HELD_OUT)]
    )
    assert abs(shuffled.score) < 4 * shuffled.standard_error
