"""One layer's eigenbasis, as a Kronecker product of two small ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from estimators.gradient.forms import Dense, LayerRows, Outer


@dataclass(frozen=True, slots=True)
class LayerBasis:
    """Eigenbases of output gradients, [dout, dout], and of inputs, [din, din], with a 1 appended for a bias.

    eigenvalues: [dout, din]. A layer without Kronecker form has no bases; its eigenvalues [p_l] are its diagonal.
    """

    eigenvalues: Tensor
    outputs: Tensor | None = None
    inputs: Tensor | None = None
    bias: bool = False

    def rotate(self, rows: LayerRows) -> LayerRows:
        """Gradients in the basis: for an Outer, two small products instead of p_l numbers an instance."""
        if self.outputs is None or self.inputs is None:
            return rows
        if isinstance(rows, Outer):
            return Outer(self._rotated_inputs(rows), rows.slopes @ self.outputs, bias=False)
        return Dense(self.rotate_vectors(rows.dense()))

    def _rotated_inputs(self, rows: Outer) -> Tensor:
        assert self.inputs is not None
        if not self.bias:
            return rows.inputs @ self.inputs
        return rows.inputs @ self.inputs[:-1] + self.inputs[-1]

    def rotate_vectors(self, vectors: Tensor) -> Tensor:
        """Q_S^T V Q_A: vectors [k, p_l] in the parameters' order to [k, dout din]."""
        if self.outputs is None or self.inputs is None:
            return vectors
        dout, din = self.eigenvalues.shape
        if not self.bias:
            return (self.outputs.T @ vectors.view(-1, dout, din) @ self.inputs).flatten(1)
        count = dout * (din - 1)
        weight = vectors[:, :count].view(-1, dout, din - 1)
        matrices = torch.cat([weight, vectors[:, count:, None]], dim=2)
        return (self.outputs.T @ matrices @ self.inputs).flatten(1)

    def back(self, rotated: Tensor) -> Tensor:
        """Q_S V Q_A^T: [k, dout din] to vectors [k, p_l] in the parameters' order."""
        if self.outputs is None or self.inputs is None:
            return rotated
        matrices = self.outputs @ rotated.view(-1, *self.eigenvalues.shape) @ self.inputs.T
        if not self.bias:
            return matrices.flatten(1)
        return torch.cat([matrices[:, :, :-1].flatten(1), matrices[:, :, -1]], dim=1)
