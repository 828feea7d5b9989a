"""Blocks of representers: the last linear layer alone, on the features that it gets."""

from functools import cached_property

import torch
from torch import Tensor

from estimators.gradient.fast_if import last_features
from estimators.gradient.head import local_jacobian_expansion
from estimators.gradient.objective import Instances
from estimators.gradient.penalised_head import HeadLoss, HeadPenalty, PenalisedHead, fit_penalised_head, head_slopes
from estimators.gradient.source import GradientSource
from workers.errors import LearnerError
from workers.gradient_blocks import Computed
from workers.gradient_file import GradientTask, Kind
from workers.gradient_problem import GradientProblem
from workers.gradient_specs import GradientSpec

TOLERANCE = 1e-6
"""How far the refitted layer may be from the sum over its instances, of its largest entry."""
AGREEMENT = 1e-3
_FORMS: dict[str, HeadPenalty] = {
    "representer_point": "l2",
    "representer_l1": "l1",
    "representer_nuclear": "nuclear",
}


class HeadBlocks:
    """Representers of the model's last layer. Training rows of a block: as many as of a block of gradients."""

    def __init__(self, spec: GradientSpec, problem: GradientProblem, source: GradientSource) -> None:
        self._spec, self._problem, self._source = spec, problem, source

    @property
    def cells(self) -> dict[Kind, int]:
        """The matrix, and each instance on itself."""
        n = len(self._problem.train)
        return {"gradient": n * len(self._problem.test), "self": n}

    def tasks(self) -> list[GradientTask]:
        """Some training instances at a time."""
        starts = range(0, len(self._problem.train), self._source.block_rows)
        return [GradientTask(kind, 0, 0, rows) for kind in ("gradient", "self") for rows in starts]

    def compute(self, task: GradientTask) -> Computed:
        """Linearised loss values of some training instances."""
        rows = slice(task.rows, min(task.rows + self._source.block_rows, len(self._problem.train)))
        scores = self._expanded(task, rows) if self._spec.method == "representer_lje" else self._shares(task, rows)
        name = "own" if task.kind == "self" else "scores"
        return Computed({name: scores.cpu().numpy()}, scores.numel(), self._facts)

    @cached_property
    def _facts(self) -> dict[str, float]:
        facts = {"penalty": self._spec.penalty}
        if self._spec.method == "representer_lje":
            return facts
        return facts | {"residual": self._head.residual, "tolerance": TOLERANCE}

    def _shares(self, task: GradientTask, rows: slice) -> Tensor:
        head = self._head
        if task.kind == "self":
            outputs = head.features[rows] @ head.theta.T
            return head.on_own_losses(rows, head_slopes(outputs, self._labels(self._problem.train)[rows], self._loss))
        features = self._test_features
        slopes = head_slopes(features @ head.theta.T, self._labels(self._problem.test), self._loss)
        return head.on_losses(rows, features, slopes)

    def _expanded(self, task: GradientTask, rows: slice) -> Tensor:
        theta, train = self._own_layer, self._problem.train
        labels = self._labels(train)
        weights = local_jacobian_expansion(
            theta, self._features, labels, len(theta), penalty=self._spec.penalty, rows=rows
        )
        if task.kind == "self":
            own = self._features[rows]
            slopes = head_slopes(own @ theta.T, labels[rows], "cross_entropy")
            return -(torch.einsum("ich,ih->ic", weights, own) * slopes).sum(dim=1)
        slopes = head_slopes(self._test_features @ theta.T, self._labels(self._problem.test), "cross_entropy")
        sides = (slopes[:, :, None] * self._test_features[:, None, :]).flatten(1)
        return -weights.flatten(1) @ sides.T

    @cached_property
    def _head(self) -> PenalisedHead:
        return fit_penalised_head(
            self._features,
            self._labels(self._problem.train),
            self._outputs(self._problem.test[:1]).shape[1],
            form=_FORMS[self._spec.method],
            penalty=self._spec.penalty,
            loss=self._loss,
            tolerance=TOLERANCE,
        )

    @property
    def _loss(self) -> HeadLoss:
        return "squared_error" if self._problem.loss == "squared_error" else "cross_entropy"

    @cached_property
    def _own_layer(self) -> Tensor:
        """Theta [C, h], the bias last; for one logit of two classes a row of zeros before it.

        Raises LearnerError where the model's outputs are not those of its last linear layer.
        """
        layer = next(layer for layer in reversed(self._source.model_layout.layers) if layer.form == "outer")
        module = self._source.objective.module
        parts = [module.get_parameter(name).detach().double() for name in layer.parameters]
        theta = torch.cat([part.view(len(parts[0]), -1) for part in parts], dim=1)
        few = self._problem.test[:8]
        outputs = self._outputs(few).double()
        if len(theta) == 1 and outputs.shape[1] == 2:
            theta = torch.cat([torch.zeros_like(theta), theta])
        found = self._of(few)[:, : theta.shape[1]] @ theta.T
        if found.shape != outputs.shape or not torch.allclose(found, outputs, rtol=AGREEMENT, atol=AGREEMENT):
            raise LearnerError(
                f"gradients: {self._spec.method} needs a model whose outputs are those of its last linear layer; "
                f"{layer.name} is not it: take influence_function with `layers`"
            )
        return theta

    @cached_property
    def _features(self) -> Tensor:
        found = self._of(self._problem.train)
        return found[:, : self._own_layer.shape[1]] if self._spec.method == "representer_lje" else found

    @cached_property
    def _test_features(self) -> Tensor:
        return self._of(self._problem.test)[:, : self._features.shape[1]]

    def _of(self, instances: Instances) -> Tensor:
        """What the last layer gets, and a 1, [m, h + 1] float64."""
        features = last_features(self._source, instances).double()
        return torch.cat([features, features.new_ones(len(features), 1)], dim=1)

    def _outputs(self, instances: Instances) -> Tensor:
        with torch.no_grad():
            outputs: Tensor = self._source.objective.module(self._source.moved(instances).features)
        return outputs.reshape(len(outputs), -1) if outputs.ndim == 1 else outputs

    def _labels(self, instances: Instances) -> Tensor:
        return instances.labels.to(self._source.device)


def refuse_other_heads(spec: GradientSpec, problem: GradientProblem) -> None:
    """Raise LearnerError where a last layer cannot be refitted to the labels that there are."""
    known = ("cross_entropy",) if spec.method == "representer_lje" else ("cross_entropy", "squared_error")
    if problem.loss not in known:
        raise LearnerError(
            f"gradients: {spec.method} refits {' or '.join(known)}, not {problem.loss}",
            mend="take influence_function, `layers` says of which parameters",
        )
    if problem.loss == "cross_entropy" and problem.train.labels.ndim != 1:
        raise LearnerError(
            f"gradients: {spec.method} needs one label an instance",
            mend="take influence_function, `layers` says of which parameters",
        )
    if problem.train.weights is not None:
        raise LearnerError(f"gradients: {spec.method} takes no instance weights", mend="leave `data.weight` out")
