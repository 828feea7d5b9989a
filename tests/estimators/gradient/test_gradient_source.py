"""Per-instance gradients of every kind of layer, in every form, against plain autograd in float64."""

import pytest
import torch
from gradient_models import CASES, Perceptron, Text, case
from oracles import gradients as oracle
from torch import nn

from estimators.errors import EstimatorError
from estimators.gradient.layout import layout_of
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.source import gradient_source

EXACT = {"rtol": 1e-11, "atol": 1e-12}


@pytest.mark.parametrize("name", CASES)
def test_every_form_agrees_with_autograd(name: str) -> None:
    objective, train, test = case(name)
    source = gradient_source(objective, train)
    exact = oracle.rows(objective, source.layout, train)
    exact_test = oracle.rows(objective, source.layout, test)
    rows, test_rows = source.rows(train), source.rows(test)
    torch.testing.assert_close(rows.dense(), exact, **EXACT)
    torch.testing.assert_close(rows.dot(test_rows), exact @ exact_test.T, **EXACT)
    torch.testing.assert_close(rows.dot(test_rows.held()), exact @ exact_test.T, **EXACT)
    torch.testing.assert_close(rows.squared_norms(), exact.square().sum(1), **EXACT)
    vectors = torch.randn(11, source.layout.size, dtype=torch.float64)
    parts = source.layout.split(vectors)
    torch.testing.assert_close(rows.times(parts), exact @ vectors.T, **EXACT)
    torch.testing.assert_close(rows.times(source.layout.split(vectors[:1])), exact @ vectors[:1].T, **EXACT)
    weights = torch.randn(2, len(train), dtype=torch.float64)
    torch.testing.assert_close(rows.mix(weights), weights @ exact, **EXACT)
    torch.testing.assert_close(rows.scaled(weights[0]).dense(), weights[0][:, None] * exact, **EXACT)


def test_blocks_are_the_whole_in_pieces() -> None:
    objective, train, _ = case("convolutional")
    source = gradient_source(objective, train, block_rows=4)
    pieces = [rows.dense() for rows in source.blocks(train)]
    assert [len(piece) for piece in pieces] == [4, 4, 1]
    torch.testing.assert_close(torch.cat(pieces), oracle.rows(objective, source.layout, train), **EXACT)


def test_many_vectors_at_once_and_few_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, train, _ = case("perceptron")
    source = gradient_source(objective, train)
    rows, vectors = source.rows(train), torch.randn(3, source.layout.size, dtype=torch.float64)
    whole = rows.times(source.layout.split(vectors))
    monkeypatch.setattr("estimators.gradient.forms.HALVES_AT_ONCE", 1)
    torch.testing.assert_close(rows.times(source.layout.split(vectors)), whole, **EXACT)


def test_known_layers_are_factored_and_only_strange_ones_go_through_the_model() -> None:
    objective, train, _ = case("text")
    source = gradient_source(objective, train)
    forms = {layer.name: layer.form for layer in source.layout.layers}
    assert forms["twice"] == "outer"
    assert forms["norm"] == "scale"
    assert forms["embed.weight"] == "any"  # tied to the output
    assert forms["attend"] == "any"
    assert forms["attend.out_proj"] == "any"  # used by attention, never called
    objective, train, _ = case("sneaky")
    assert {layer.name: layer.form for layer in gradient_source(objective, train).layout.layers}["fc"] == "any"


def test_layers_are_chosen_by_pattern() -> None:
    objective, train, test = case("perceptron")
    source = gradient_source(objective, train, layers=("fc2.*",))
    assert source.layout.parameters == ("fc2.weight", "fc2.bias")
    exact = oracle.rows(objective, source.layout, train) @ oracle.rows(objective, source.layout, test).T
    torch.testing.assert_close(source.rows(train).dot(source.rows(test)), exact, **EXACT)
    with pytest.raises(EstimatorError, match=r"no trained parameter matches fc9.*fc1\.weight"):
        layout_of(objective.module, ("fc9.*",))


def test_frozen_parameters_are_left_out() -> None:
    module = Perceptron()
    module.fc1.weight.requires_grad_(False)
    assert layout_of(module).parameters == ("fc1.bias", "fc2.weight", "fc2.bias")


@pytest.mark.parametrize("name", ["perceptron", "text"])
def test_instance_weights_multiply_gradients(name: str) -> None:
    objective, train, _ = case(name)
    weighted = Instances(train.features, train.labels, torch.linspace(0.5, 1.5, len(train), dtype=torch.float64))
    source = gradient_source(objective, train)
    assert weighted.weights is not None
    exact = oracle.rows(objective, source.layout, train) * weighted.weights[:, None]
    torch.testing.assert_close(source.rows(weighted).dense(), exact, **EXACT)


def test_float32_and_bfloat16_stay_near() -> None:
    objective, train, test = case("convolutional")
    exact = None
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)):
        source = gradient_source(objective, train, dtype=dtype)
        dots = source.rows(train).dot(source.rows(test))
        assert dots.dtype == torch.float64
        exact = dots if exact is None else exact
        assert float((dots - exact).abs().max() / exact.abs().max()) < tolerance


def test_a_confident_model_keeps_its_slopes_in_bfloat16() -> None:
    """The slope p - y of the right class is -6e-6: in bfloat16 p would be 1, and it 0."""
    module = nn.Linear(1, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0], [12.0]]))
        module.bias.zero_()
    train = Instances(torch.ones(4, 1), torch.ones(4, dtype=torch.int64))
    exact = oracle.rows(Objective(module, CrossEntropy()), layout_of(module), train)
    rows = gradient_source(Objective(module, CrossEntropy()), train, dtype=torch.bfloat16).rows(train).dense()
    torch.testing.assert_close(rows.float(), exact, rtol=0.02, atol=0.0)


def test_a_model_that_mixes_instances_is_refused() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x - x.mean(dim=0))

    _, train, _ = case("perceptron")
    with pytest.raises(EstimatorError, match="mixes the instances of a batch"):
        gradient_source(Objective(Mixed().double(), CrossEntropy()), train)


def test_strongest_tokens_are_the_largest_merged_ones() -> None:
    torch.manual_seed(0)
    objective = Objective(Text(tied=False).double().eval(), CrossEntropy())
    train = Instances(torch.tensor([[1, 2, 1, 3, 0, 2], [4, 4, 4, 5, 6, 0]]), torch.tensor([1, 2]))
    source = gradient_source(objective, train, layers=("embed.*",))
    rows = source.rows(train)
    full = rows.dense().view(2, 7, 4)
    torch.testing.assert_close(rows.strongest_tokens(99).dense().view(2, 7, 4), full, **EXACT)
    kept = rows.strongest_tokens(2).dense().view(2, 7, 4)
    for row, whole in zip(kept, full, strict=True):
        top = set(whole.norm(dim=1).topk(2).indices.tolist())
        for token in range(7):
            torch.testing.assert_close(row[token], whole[token] if token in top else torch.zeros(4).double(), **EXACT)
