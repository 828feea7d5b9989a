"""Exact and sampled values on the same games by pyDVL and shapiq (extra `peers`; skipped where they are missing)."""

import warnings

import numpy as np
import pytest

from estimators.aggregators.blocks import aggregate
from estimators.designs import make_design
from estimators.registry import value_method
from estimators.retrains import EndRows, Retrains


def worths(n, seed):
    rng = np.random.default_rng(seed)
    members = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    return np.maximum(members @ rng.normal(size=n), -1.0) + 0.3 * rng.normal(size=2**n)


def exact(label, worth):
    n = int(np.log2(len(worth)))
    design, losses = make_design("exhaustive", n=n, seed=0), -worth[:, None]
    ends = EndRows(full=losses[-1:], empty=losses[0], deterministic=True)
    aggregator = value_method(label).make(loss="worth", ends=ends, design=design)
    return aggregate(aggregator, [Retrains(design.draws(0, 2**n), losses)]).values[:, 0]


@pytest.mark.parametrize(("label", "index"), [("shapley", "SV"), ("banzhaf", "BV")])
def test_exact_values_are_shapiqs(label, index):
    shapiq = pytest.importorskip("shapiq", reason="shapiq is not installed (extra `peers`)")
    n, worth = 8, worths(8, 1)
    game = lambda members: worth[np.asarray(members).astype(int) @ (1 << np.arange(n))]  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = shapiq.ExactComputer(n_players=n, game=game)(index=index, order=1)
    np.testing.assert_allclose(exact(label, worth), [found[(i,)] for i in range(n)], atol=1e-10)


@pytest.mark.parametrize(
    ("label", "name"),
    [("shapley", "ShapleyValuation"), ("banzhaf", "BanzhafValuation"), ("beta_shapley(alpha=4, beta=2)", "Beta")],
)
def test_exact_values_are_pydvls(label, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pydvl", reason="pyDVL is not installed (extra `peers`)")
        from pydvl.valuation import methods, samplers
        from pydvl.valuation.dataset import Dataset
        from pydvl.valuation.stopping import NoStopping
        from pydvl.valuation.utility.base import UtilityBase

        n, worth = 6, worths(6, 2)

        class Worth(UtilityBase):
            def __call__(self, sample):
                subset = [] if sample is None else np.asarray(sample.subset, dtype=np.int64)
                return float(worth[int((1 << np.asarray(subset, dtype=np.int64)).sum())])

        sampler, stop = samplers.DeterministicUniformSampler(), NoStopping()
        if name == "Beta":
            valuation = methods.BetaShapleyValuation(Worth(), sampler, stop, alpha=4, beta=2)
        else:
            valuation = getattr(methods, name)(Worth(), sampler, stop)
        valuation.fit(Dataset(np.zeros((n, 1)), np.arange(n)))
    np.testing.assert_allclose(exact(label, worth), valuation.result.values, atol=1e-9)
