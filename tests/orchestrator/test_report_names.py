"""Names are written as papers write them, also where a heading begins with them."""

import pytest

from orchestrator.report.names import in_words
from orchestrator.report.phrases import sentence


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("ame", "AME"),
        ("trak", "TRAK"),
        ("tracin_cp", "TracInCP"),
        ("beta_shapley", "Beta Shapley"),
        ("weighted_banzhaf", "Weighted Banzhaf"),
        ("banzhaf_sample_reuse", "Banzhaf sample reuse"),
        ("held_out_loss", "Held-out loss"),
        ("tracin_cp self-influence", "TracInCP self-influence"),
        ("in_run_shapley self-influence", "In-Run Data Shapley self-influence"),
        ("a_method_of_tomorrow", "A method of tomorrow"),
    ],
)
def test_headings(name, heading):
    assert sentence(in_words(name)) == heading
