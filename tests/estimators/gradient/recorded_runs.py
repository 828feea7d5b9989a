"""Small runs of training written as plain loops over torch.optim, every step recorded, and their oracles."""

import copy

import torch
from torch import nn
from torch.func import functional_call, jacrev

from estimators.gradient.objective import CrossEntropy, Instances, Objective, SquaredError
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.unroll.run import Run
from estimators.gradient.unroll.steps import StepRule


def instances(n, seed, classes=3, width=4):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, width, generator=generator, dtype=torch.float64)
    return Instances(features, torch.randint(classes, (n,), generator=generator))


def tanh_net(width=4, classes=3):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(width, 5), nn.Tanh(), nn.Linear(5, classes)).double()


def batches_of(n, size, steps, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(n, generator=generator)[:size] for _ in range(steps)]


def optimizer_of(rule, parameters, rate):
    if rule.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=rule.momentum, nesterov=rule.nesterov, weight_decay=rule.weight_decay
        )
    kind = torch.optim.Adam if rule.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=rate, betas=rule.betas, eps=rule.eps, weight_decay=rule.weight_decay)


STATES = {"momentum_buffer": "momentum", "exp_avg": "mean", "exp_avg_sq": "square"}


def recorded(rule, train, batches, rates, *, module=None, loss=None, weights=None):
    """A run by torch.optim on batches; weights: [n] of instances in every batch's loss (None: all 1)."""
    module = copy.deepcopy(tanh_net() if module is None else module)
    loss = CrossEntropy() if loss is None else loss
    optimizer = optimizer_of(rule, module.parameters(), rates[0])
    steps = []
    for batch, rate in zip(batches, rates, strict=True):
        state = {
            f"{STATES[kind]}.{name}": value.clone()
            for name, parameter in module.named_parameters()
            for kind, value in optimizer.state.get(parameter, {}).items()
            if kind in STATES and value is not None
        }
        parameters = {name: each.detach().clone() for name, each in module.state_dict().items()}
        steps.append(Checkpoint(parameters, rate, batch, 1, state))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        each = loss(module(train.features[batch]), train.labels[batch])
        (each if weights is None else each * weights[batch]).sum().div(len(batch)).backward()
        if rule.clip_norm is not None:
            nn.utils.clip_grad_norm_(list(module.parameters()), rule.clip_norm)
        optimizer.step()
    final = {name: each.detach().clone() for name, each in module.named_parameters()}
    return Run(Objective(module, loss), rule, train, tuple(steps), final)


def by_jacrev(rule, train, test, batches, rates):
    """- d L_j(theta_T) / d w_i [n, n_test] by reverse autograd through a hand-written loop of the whole run."""
    module, loss = tanh_net(), CrossEntropy()
    start = {name: each.detach() for name, each in module.named_parameters()}

    def test_losses(weights):
        theta, velocity = dict(start), {name: torch.zeros_like(each) for name, each in start.items()}
        mean, square = dict(velocity), dict(velocity)
        for number, (batch, rate) in enumerate(zip(batches, rates, strict=True), start=1):

            def batch_loss(parameters, batch=batch):
                outputs = functional_call(module, parameters, (train.features[batch],))
                return (weights[batch] * loss(outputs, train.labels[batch])).sum() / len(batch)

            gradient = torch.func.grad(batch_loss)(theta)
            if rule.name == "sgd":
                gradient = {k: g + rule.weight_decay * theta[k] for k, g in gradient.items()}
                velocity = {k: rule.momentum * velocity[k] + g for k, g in gradient.items()}
                move = {k: gradient[k] + rule.momentum * velocity[k] for k in theta} if rule.nesterov else velocity
                theta = {k: theta[k] - rate * move[k] for k in theta}
            else:
                b1, b2 = rule.betas
                if rule.name == "adam":
                    gradient = {k: g + rule.weight_decay * theta[k] for k, g in gradient.items()}
                else:
                    theta = {k: each - rate * rule.weight_decay * each for k, each in theta.items()}
                mean = {k: b1 * mean[k] + (1 - b1) * g for k, g in gradient.items()}
                square = {k: b2 * square[k] + (1 - b2) * g**2 for k, g in gradient.items()}
                theta = {
                    k: theta[k] - rate * mean[k] / (1 - b1**number) / ((square[k] / (1 - b2**number)).sqrt() + rule.eps)
                    for k in theta
                }
        return loss(functional_call(module, theta, (test.features,)), test.labels)

    return -jacrev(test_losses)(torch.ones(len(train), dtype=torch.float64)).T.detach().numpy()


def descent_on_a_quadratic(n=12, steps=8, rate=0.05):
    """Full-batch gradient descent of least squares, every step recorded; its train and test instances."""
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(n + 4, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(n + 4, 1, generator=generator, dtype=torch.float64)
    torch.manual_seed(6)
    module = nn.Linear(3, 1, bias=False).double()
    train, test = Instances(features[:n], targets[:n]), Instances(features[n:], targets[n:])
    everyone = [torch.arange(n)] * steps
    run = recorded(StepRule(), train, everyone, [rate] * steps, module=module, loss=SquaredError(0.5))
    return run, train, test
