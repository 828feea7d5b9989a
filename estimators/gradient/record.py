"""An estimator as a record: I[i, j] = sum_t w_t < N(K_t g_i^(t)), N'(g_j^(t')) >, and which parts it is made of."""

from dataclasses import dataclass, field
from typing import Literal

CurvatureName = Literal[
    "identity",
    "diagonal",
    "exact",
    "conjugate_gradient",
    "lissa",
    "lanczos",
    "nystroem",
    "woodbury",
    "kfac",
    "ekfac",
    "datainf",
    "layer_fisher",
]
Normalise = Literal["none", "train", "both", "layers", "relative_theta", "relative_loss"]
"""none; train: over ||g_i||; both: the cosine; layers: the cosine layer by layer, summed; relative_theta: over
||A^-1 g_i||; relative_loss: over sqrt(g_i^T A^-1 g_i). 0 / 0 = 0."""
Weights = Literal["instances", "rate", "batch", "visits"]
"""instances: 1/n. rate: eta_t. batch: eta_t / b_t for the members of the step's batch, 0 for others. visits: eta_t
times the steps that the checkpoint stands for, over n."""
Scale = Literal["loss", "ranking"]
"""loss: estimates a difference of test losses. ranking: only order and ratios mean something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureOptions:
    """What the solvers can be told; each reads its own.

    damping: delta, added to the curvature (None: 0.1 of each layer's mean eigenvalue for kfac, ekfac, datainf; 0.01 for
    others). matrix: which curvature the general solvers see. labels: whose, for kfac and ekfac. rank: of lanczos
    (eigenpairs kept) and nystroem. iterations: the most products. tolerance: relative residual. preconditioned: CG with
    an EK-FAC inverse. depth, repeats, batch, scaling: LiSSA's. dtype of everything: the model's.
    """

    damping: float | None = None
    matrix: Literal["hessian", "gauss_newton", "fisher"] = "hessian"
    labels: Literal["true", "sampled"] = "sampled"
    rank: int = 50
    iterations: int = 200
    tolerance: float = 1e-5
    preconditioned: bool = False
    depth: int = 5000
    repeats: int = 1
    batch: int | None = 1
    scaling: float = 10.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Gradients replaced by random images of themselves before anything else.

    dense: R g with entries +-1/sqrt(k). product: the same in expectation for linear layers, each row of R an outer
    product of two sign vectors, so that no gradient is written out. factored: P_out G P_in^T layer by layer, k = k_l^2
    each (LoGra).
    """

    kind: Literal["dense", "product", "factored"] = "dense"
    dimensions: int = 1024
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """How influence is read off gradients. The engine knows nothing else of a method.

    test_at: whether the test gradient stands at the same checkpoint or at the last one.
    tokens: keep each instance's strongest tokens of embedding layers only (None: all).
    """

    name: str
    curvature: CurvatureName = "identity"
    options: CurvatureOptions = field(default_factory=CurvatureOptions)
    normalise: Normalise = "none"
    weights: Weights = "instances"
    test_at: Literal["same", "last"] = "same"
    projection: Projection | None = None
    tokens: int | None = None
    scale: Scale = "loss"
