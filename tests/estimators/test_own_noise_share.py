"""The share of the learner's own noise that a note gives is that of games whose noise and spread are known.

Each check runs 30 campaigns of one game, noise anew in every row, and holds the mean of the shares reported to the
known one within 5 standard errors of that mean, as the campaigns tell them: a false-alarm rate of 3e-5 a check
(Student's t, 29 degrees of freedom), with fixed seeds. 120 replicates of D tell the noise.
"""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from estimator_material import aggregator_of, random_game

from estimators.aggregators.blocks import aggregate
from estimators.aggregators.g_shapley import GShapley
from estimators.designs import make_design
from estimators.designs.walk import Walk
from estimators.interactions.indices import interaction_index
from estimators.interactions.listed_pairs import ListedPairs
from estimators.retrains import EndRows, Retrains
from estimators.walks import walks_of

N, NOISE, REPLICATES, CAMPAIGNS = 10, 0.2, 120, 30
GAME = random_game(N, 1, seed=81)
SIZES, FOLDS = (2, 5, 7), 5


def share_told(notes):
    """The share in the one note on the learner's own noise; None without one."""
    said = [note for note in notes if "own noise" in note]
    assert len(said) <= 1
    return float(re.search(r"([0-9.]+)%", said[0])[1]) / 100.0 if said else None


def assert_is(shares, known):
    assert 0.05 < known < 0.95
    assert np.abs(np.mean(shares) - known) < 5.0 * np.std(shares, ddof=1) / np.sqrt(len(shares))


def spreads_left_out(size):
    """Variances of own losses [n] over all subsets of a size without the instance."""
    sizes, numbers = np.array([k.bit_count() for k in range(2**N)]), np.arange(2**N)
    return np.array([GAME.own[(sizes == size) & (numbers >> i & 1 == 0), i].var() for i in range(N)])


def share_of_sizes(sizes):
    rows_out = np.array([1.0 - size / N for size in sizes])[:, None]  # of equally many rows of each size
    whole = sum((spreads_left_out(size) + NOISE**2) / out for size, out in zip(sizes, rows_out, strict=True))
    return float(np.mean(NOISE**2 * np.sum(1.0 / rows_out) / whole))


def pairings(players):
    """All partitions of the players into pairs."""
    if not players:
        yield []
        return
    for other in players[1:]:
        for rest in pairings([each for each in players[1:] if each != other]):
            yield [(players[0], other), *rest]


def share_of_folds():
    everyone, found = 2**N - 1, []
    for folds in pairings(list(range(N))):
        losses = np.array([GAME.own[everyone - sum(1 << i for i in fold)] for fold in folds])  # [folds, n]
        out = np.array([[i in fold for i in range(N)] for fold in folds])
        found.append((losses * out).sum(axis=0) - (losses * ~out).sum(axis=0) / (FOLDS - 1))
    own = NOISE**2 * (1.0 + 1.0 / (FOLDS - 1))
    return float(np.mean(own / (np.var(found, axis=0) + own)))


OWN_LOSSES = {
    "data_oob": ("uniform", {"size": 6}, lambda: share_of_sizes((6,))),
    "held_out_loss": ("uniform", {"size": 6}, lambda: share_of_sizes((6,))),
    "c_score": ("stratified", {"size": SIZES}, lambda: share_of_sizes(SIZES)),
    "generative_downsampling": ("kfold", {"folds": FOLDS}, share_of_folds),
}


def of_own_losses(value, seed, *, deterministic=False, draws=2400):
    name, said, _ = OWN_LOSSES[value]
    design, rng = make_design(name, n=N, seed=seed, **said), np.random.default_rng(seed)
    rows = replace(GAME.retrains(design.draws(0, draws)), units=design.units(0, draws))
    noise = 0.0 if deterministic else NOISE
    rows = replace(rows, train_losses=rows.train_losses + noise * rng.normal(size=rows.train_losses.shape))
    own = GAME.own[-1] + noise * rng.normal(size=(REPLICATES, N))
    full = np.repeat(GAME.losses[-1:], REPLICATES, axis=0)
    ends = EndRows(full, GAME.losses[0], deterministic=deterministic, full_train=own, empty_train=GAME.own[0])
    return aggregate(aggregator_of(value, design, ends), [rows]).notes


@pytest.mark.parametrize("value", OWN_LOSSES)
def test_of_values_of_own_losses(value):
    assert_is([share_told(of_own_losses(value, seed)) for seed in range(CAMPAIGNS)], OWN_LOSSES[value][2]())


def of_memorization(seed):
    design, rng = make_design("uniform", n=N, seed=seed, size=5), np.random.default_rng(seed)
    rows = GAME.retrains(design.draws(0, 2400))
    rows = replace(rows, train_losses=rows.train_losses + NOISE * rng.normal(size=rows.train_losses.shape))
    own = GAME.own[-1] + NOISE * rng.normal(size=(REPLICATES, N))
    ends = EndRows(GAME.losses[-1:], GAME.losses[0], deterministic=False, full_train=own, empty_train=GAME.own[0])
    return aggregate(aggregator_of("memorization", design, ends), [rows]).notes


def test_of_memorization_the_distance_between_its_sides_is_no_spread():
    sizes, numbers = np.array([k.bit_count() for k in range(2**N)]), np.arange(2**N)
    sides = [[GAME.own[(sizes == 5) & (numbers >> i & 1 == side), i].var() for i in range(N)] for side in (0, 1)]
    known = float(np.mean(NOISE**2 / (np.mean(sides, axis=0) + NOISE**2)))  # sides of equally many rows
    assert_is([share_told(of_memorization(seed)) for seed in range(CAMPAIGNS)], known)


Q = 0.25
AWAY = np.array([pair for pair in combinations(range(N), 2) if pair != (0, 1)])


def of_pairs(pairs, seed, *, deterministic=False, draws=800):
    """Banzhaf interactions of v = Q x_0 x_1 with x = +-1, which no single instance explains anything of.

    w = +-4 for every pair, so its terms w v have the variance 16 (Q^2 + s^2), and 16 s^2 for the pair itself.
    """
    design, rng = make_design("bernoulli", n=N, seed=seed), np.random.default_rng(seed)
    members, noise = design.draws(0, draws), 0.0 if deterministic else NOISE
    x = 2.0 * members[:, :2] - 1.0
    losses = 5.0 - Q * x[:, :1] * x[:, 1:] + noise * rng.normal(size=(draws, 2))
    full = 5.0 - Q + noise * rng.normal(size=(REPLICATES, 2))
    ends = EndRows(full, np.full(2, 5.0 - Q), deterministic=deterministic)
    made = ListedPairs(interaction_index("banzhaf_interaction"), "loss", design, ends, pairs, len(pairs))
    return aggregate(made, [Retrains(members, losses, None, np.arange(draws), design.units(0, draws))]).notes


def test_of_interactions():
    shares = [share_told(of_pairs(AWAY, seed)) for seed in range(CAMPAIGNS)]
    assert_is(shares, NOISE**2 / (Q**2 + NOISE**2))
    assert share_told(of_pairs(np.array([[0, 1]]), 0)) > 0.9  # what the pair does has no spread of its own


@pytest.mark.parametrize("index", ["shapley_interaction", "shapley_taylor", "faithful_shapley_interaction"])
def test_the_errors_of_interactions_from_all_subsets_are_the_learners_own(index):
    n = 6
    game, design = random_game(n, 2, seed=82), make_design("exhaustive", n=n, seed=0)
    members, pairs = design.draws(0, 2**n), np.array([[0, 1], [2, 5]])
    full = game.losses[-1] + NOISE * np.random.default_rng(0).normal(size=(5, 2))
    for deterministic, known in ((False, 1.0), (True, None)):
        ends = EndRows(full, game.losses[0], deterministic=deterministic)
        made = ListedPairs(interaction_index(index), "loss", design, ends, pairs, 2)
        rows = Retrains(members, game.losses[game.numbers(members)], None, np.arange(2**n), design.units(0, 2**n))
        assert share_told(aggregate(made, [rows]).notes) == known


TURNS = np.random.default_rng(83).normal(scale=0.3, size=(N, N + 1))
"""What the step on i adds after the instance before it, [i, before]; 0 at the start of a walk."""
TURNS[:, N] = 0.0
np.fill_diagonal(TURNS, np.nan)


def of_walks(seed, *, noise=NOISE, deterministic=False, walks=400):
    design, rng = Walk(n=N, seed=seed), np.random.default_rng(seed)
    orders = design.orders(0, walks)
    before = np.concatenate([np.full((walks, 1), N), orders[:, :-1]], axis=1)
    steps = np.linspace(-1.0, 1.0, N)[orders] + TURNS[orders, before] + noise * rng.normal(size=orders.shape)
    path = np.concatenate([np.zeros((walks, 1)), -np.cumsum(steps, axis=1)], axis=1)
    walked = walks_of(orders, np.repeat(path[:, :, None], 2, axis=2), np.array([0]))
    made = GShapley("g_shapley", "loss", design, 1, deterministic=deterministic)
    return made.finish(made.update(made.empty(), walked)).notes


def test_of_walks_by_their_first_steps():
    spread = float(np.nanvar(TURNS, axis=1).mean())  # an instance stands first, or after any other, alike often
    shares = [share_told(of_walks(seed)) for seed in range(CAMPAIGNS)]
    assert_is(shares, NOISE**2 / (spread + NOISE**2))


def test_walks_that_rarely_begin_alike_say_that_the_share_is_not_known():
    assert any("too few walks begin alike" in note for note in of_walks(0, walks=12))


def test_first_steps_of_walks_merge():
    design = Walk(n=N, seed=3)
    made = GShapley("g_shapley", "loss", design, 1)
    orders = design.orders(0, 60)
    paths = np.random.default_rng(3).normal(size=(60, N + 1, 2))
    whole, *parts = (
        made.update(made.empty(), walks_of(orders[own], paths[own], np.array([0])))
        for own in (slice(60), slice(25), slice(25, 60))
    )
    assert made.finish(made.merge(*parts)).notes == made.finish(whole).notes != ()


def test_a_deterministic_learner_has_none():
    for value in OWN_LOSSES:
        assert share_told(of_own_losses(value, 0, deterministic=True, draws=300)) is None
    assert share_told(of_pairs(AWAY, 0, deterministic=True, draws=300)) is None
    assert share_told(of_walks(0, deterministic=True)) is None
    assert share_told(of_walks(0, noise=0.0)) is None  # not said to be, but no walk shows any
