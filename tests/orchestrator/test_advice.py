"""What is said of designs that cost the same."""

import math

from estimators.design_ranking import Candidate, Ranked
from estimators.designs import make_design
from orchestrator.advice import _named


def test_a_tie_is_named_for_the_values_that_it_serves_alone():
    def row(words, banzhaf, downsampling, *, tie):
        design = make_design("bernoulli", n=8, seed=1, probability=0.5)
        return Ranked(Candidate(words, design), {"banzhaf": banzhaf, "downsampling": downsampling}, tie=tie)

    found = [
        row("bernoulli", 1.0, math.inf, tie=False),
        row("paired", 1.1, math.inf, tie=True),
        row("uniform", math.inf, 1.0, tie=True),
    ]
    assert _named(found, ["banzhaf", "downsampling"]) == [
        "cheapest design for banzhaf: bernoulli",
        "  as cheap as far as this pilot can tell: paired",
        "cheapest design for downsampling: uniform",
    ]
