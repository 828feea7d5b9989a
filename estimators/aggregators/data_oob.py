"""Data-OOB from membership rows: how well the models that never saw an instance predict its label.

    data_oob[i] = - mean of L[k](z_i) over rows k without i

(Kwon and Zou, ICML 2023.) The paper draws bootstrap samples, which leave out a share 1/e of the instances; rows of
`uniform` with fraction 1 - 1/e = 0.632 leave out the same share without repeats. With zero-one losses the paper's
score, the mean of "the prediction is right", is 1 + data_oob. HIGH = its label agrees with the rest of the data; LOW =
mislabelled or atypical. It is the mean held-out loss with the sign of a value. Needs losses on the training instances.

Standard error: that of the mean held-out loss, s / sqrt(K_out), degrees of freedom K_out - 1.
"""

from dataclasses import dataclass, replace

from estimators.aggregators.held_out_loss import HeldOutLoss
from estimators.aggregators.self_losses import SelfSums
from estimators.designs.protocol import Design
from estimators.influence import InstanceValues
from estimators.retrains import EndRows, Retrains


@dataclass(frozen=True, slots=True)
class DataOob:
    """Aggregator of Data-OOB on `loss`."""

    value: str
    loss: str
    design: Design
    ends: EndRows

    @property
    def _held_out(self) -> HeldOutLoss:
        return HeldOutLoss(loss=self.loss, design=self.design, ends=self.ends)

    def empty(self) -> SelfSums:
        """Sums over no retrains."""
        return self._held_out.empty()

    def update(self, state: SelfSums, retrains: Retrains) -> SelfSums:
        """Add a block of retrains; raises MissingRows where training losses were not kept."""
        return self._held_out.update(state, retrains)

    def merge(self, a: SelfSums, b: SelfSums) -> SelfSums:
        """Sums over both."""
        return self._held_out.merge(a, b)

    def finish(self, state: SelfSums) -> InstanceValues:
        """Data-OOB [n] with its errors."""
        held_out = self._held_out.finish(state)
        return replace(held_out, value=self.value, values=-held_out.values)
