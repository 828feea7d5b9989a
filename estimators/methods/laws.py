"""What the law of a design says of the rows it draws: the facts by which values accept or refuse it."""

import numpy as np
from scipy.special import gammaln

from estimators.arrays import FloatArray
from estimators.designs.protocol import Design


def fixed_size(design: Design) -> int | None:
    """The size m where all draws have it and are equally likely, else None."""
    law = design.log_size_law()
    if law is None:
        return None
    sizes = np.flatnonzero(np.isfinite(law))
    return int(sizes[0]) if len(sizes) == 1 else None


def independent_share(design: Design) -> float | None:
    """The probability t where each instance is drawn with it independently of the others, else None."""
    law = design.log_size_law()
    if law is None:
        return None
    pi = np.exp(law)
    share = float(pi @ np.arange(design.n + 1)) / design.n
    if not 0.0 < share < 1.0:
        return None
    return share if np.allclose(pi, binomial_sizes(design.n, share), rtol=1e-6, atol=1e-12) else None


def binomial_sizes(n: int, share: float) -> FloatArray:
    """Binomial(n, share) probabilities of sizes 0..n, [n + 1]."""
    sizes = np.arange(n + 1)
    log_ways = gammaln(n + 1) - gammaln(sizes + 1) - gammaln(n - sizes + 1)
    law: FloatArray = np.exp(log_ways + sizes * np.log(share) + (n - sizes) * np.log1p(-share))
    return law


def lists_all_subsets(design: Design) -> bool:
    """Whether the draws are all 2^n subsets, each once."""
    return design.log_size_law() is None and design.n <= 30 and design.draw_count == 1 << design.n


def lists_leave_one_out(design: Design) -> bool:
    """Whether the draws are D without each instance in turn."""
    if design.log_size_law() is not None or design.draw_count != design.n:
        return False
    first = design.draws(0, 1)
    return bool(first.sum() == design.n - 1 and np.isfinite(design.log_probability(first)).all())


def refusal(value: str, design: Design, reason: str, run: str) -> str:
    """The words of every refusal: the value, the design, why, and the design to run."""
    return f"{value} cannot be computed from design {design.label}: {reason}; run {run}"
