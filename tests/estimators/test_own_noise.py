"""The learner's own noise, told by D's replicates, is reported apart from what subsets differ by."""

import numpy as np
import pytest
from estimator_material import aggregator_of, design_of, random_game
from test_interval_coverage import depends_on_seed

from estimators.aggregators.blocks import aggregate
from estimators.aggregators.notes import OWN_NOISE
from estimators.designs import make_design
from estimators.retrains import EndRows, Retrains

N, NOISE, REPLICATES = 10, 0.2, 400
DESIGNS = {
    "shapley": ("sizes", 1.0),
    "banzhaf": ("bernoulli", 1.0),
    "banzhaf_sample_reuse": ("bernoulli", 1.0),
    "banzhaf_least_squares": ("bernoulli", 1.0),
    "downsampling": ("uniform", 1.0),
    "datamodel": ("uniform", 1.0),
    "ame": ("bernoulli", 1.0),
    "expected_leave_one_out": ("bernoulli", None),
    "shapley_permutations": ("permutation", None),
}


def campaign(value, name, *, deterministic=False, draws=900):
    rng = np.random.default_rng(3)
    game, _ = depends_on_seed(random_game(N, 2, seed=61), NOISE, rng)
    design = make_design(name, n=N, seed=4, **({"probability": (0.2, 0.4, 0.6, 0.8)} if value == "ame" else {}))
    members = design.draws(0, draws)
    rows = game.retrains(members)
    scale = 0.0 if deterministic else NOISE
    full, own = (each[-1] + scale * rng.normal(size=(REPLICATES, each.shape[1])) for each in (game.losses, game.own))
    ends = EndRows(full, game.losses[0], deterministic=deterministic, full_train=own, empty_train=game.own[0])
    made = aggregator_of(value, design, ends)
    rows = Retrains(members, rows.losses, rows.train_losses, np.arange(draws), design.units(0, draws))
    return aggregate(made, [rows]), rows


@pytest.mark.parametrize("value", DESIGNS)
def test_the_share_of_noise_is_that_of_the_losses(value):
    name, factor = DESIGNS[value]
    found, rows = campaign(value, name)
    shares = found.per_test[OWN_NOISE]
    assert shares.shape == (2,)
    assert any(f"own noise, {shares.mean():.1%}" in note for note in found.notes)
    if factor is not None:  # 400 replicates tell the noise's variance to 7 % (one standard error)
        np.testing.assert_allclose(shares, NOISE**2 / rows.losses.var(axis=0), rtol=0.25)
    else:
        assert ((shares > 0.0) & (shares <= 1.0)).all()


def test_a_marginal_holds_the_noise_of_two_retrains():
    found, rows = campaign("shapley_permutations", "permutation")
    walks = rows.losses.reshape(-1, N - 1, 2)
    joined = (rows.members[1:] & ~rows.members[:-1]).reshape(-1, N)
    inside = np.arange(1, len(rows.members)) % (N - 1) > 0
    steps = -np.diff(rows.losses, axis=0)[inside]
    spread = np.mean([steps[joined[inside][:, i]].var(axis=0) for i in range(N)], axis=0)
    assert len(walks) == 100
    np.testing.assert_allclose(found.per_test[OWN_NOISE], 2.0 * NOISE**2 / spread, rtol=0.3)


@pytest.mark.parametrize(("value", "name"), [("memorization", "uniform"), ("held_out_loss", "uniform")])
def test_values_of_own_losses_say_it_too(value, name):
    assert any("own noise" in note for note in campaign(value, name)[0].notes)


@pytest.mark.parametrize("value", [*DESIGNS, "memorization"])
def test_a_deterministic_learner_has_none(value):
    name = DESIGNS.get(value, ("uniform",))[0]
    found, _ = campaign(value, name, deterministic=True)
    assert not any("own noise" in note for note in found.notes)


def test_a_single_replicate_tells_nothing():
    game = random_game(N, 2, seed=61)
    design = design_of("bernoulli", N)
    ends = EndRows(game.losses[-1:], game.losses[0], deterministic=False)
    found = aggregate(aggregator_of("banzhaf", design, ends), [game.retrains(design.draws(0, 100))])
    assert not any("own noise" in note for note in found.notes)
