"""Max pooling before ReLU: the same gradients, ties and zeros among them, and models that are left as they stand."""

import torch
from torch import Tensor, nn

from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.pooling import pooled_first
from estimators.gradient.source import gradient_source


def _stack(*, indices: bool = False) -> nn.Sequential:
    """Weights of -1, 0 and 1: many windows have equal largest values, and many have none above 0."""
    torch.manual_seed(0)
    pool = nn.MaxPool2d(2, return_indices=indices)
    parts = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(27, 4)).double()
    with torch.no_grad():
        for parameter in parts[0].parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape))
    return parts


def _instances(n: int = 30) -> Instances:
    generator = torch.Generator().manual_seed(1)
    features = torch.randint(0, 2, (n, 1, 6, 6), generator=generator).double()
    return Instances(features, torch.randint(0, 4, (n,), generator=generator))


def _order(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.modules() if isinstance(part, nn.ReLU | nn.MaxPool2d)]


def test_gradients_are_those_of_the_model_as_it_was() -> None:
    module, given = _stack(), _instances()
    before = torch.relu(module[0](given.features)).detach().unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
    assert ((before == before.amax(-1, keepdim=True)).sum(-1) > 1).any()
    assert (before.amax(-1) == 0).any()
    source = gradient_source(Objective(module, CrossEntropy()), given)
    assert _order(source.objective.module) == ["MaxPool2d", "ReLU"]
    assert _order(module) == ["ReLU", "MaxPool2d"]
    found = torch.cat([layer.dense() for layer in source.rows(given).layers], dim=1)
    for i in range(len(given)):
        loss = nn.functional.cross_entropy(module(given.features[i : i + 1]), given.labels[i : i + 1])
        exact = torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(module.parameters()))])
        torch.testing.assert_close(found[i], exact, rtol=1e-12, atol=1e-14)


def test_layers_that_do_more_than_they_say_stay() -> None:
    assert not pooled_first(_stack(indices=True))
    hooked = _stack()
    hooked[1].register_forward_hook(lambda _m, _i, output: output + 1)
    assert not pooled_first(hooked)
    assert not pooled_first(nn.Sequential(nn.Tanh(), nn.MaxPool2d(2)))
    again = _stack()
    assert pooled_first(again)
    assert not pooled_first(again)


class _Numbered(nn.Module):
    """Calls its layers by number, and uses what stands between two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = _stack()

    def forward(self, given: Tensor) -> Tensor:
        active = self.parts[:2](given)
        found: Tensor = self.parts[2:](active)
        return found * active.flatten(1).square().mean(dim=1, keepdim=True)


def test_a_model_that_calls_layers_by_number_stays() -> None:
    source = gradient_source(Objective(_Numbered(), CrossEntropy()), _instances())
    assert _order(source.objective.module) == ["ReLU", "MaxPool2d"]
