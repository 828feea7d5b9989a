"""One entry of a job's `gradients`: a gradient method and its options, as a plain record."""

from dataclasses import dataclass
from typing import Literal

from estimators.gradient.methods import Gives
from estimators.gradient.record import CurvatureName
from estimators.gradient.registry import gradient_method
from workers.errors import LearnerError
from workers.option_types import Count, NotNegative, Positive, Seed
from workers.trajectory import trajectory_mode

GroupForm = Literal["first", "neumann", "basu", "newton"]
DEAR_FOR_EACH = ("conjugate_gradient", "lissa", "datainf")
"""Curvatures whose every solve goes over the training set."""
DEAR_RUNS = ("sgd_influence", "hydra")
"""Methods that go over the run once for each instance."""
GRADIENT_LEARNERS = ("torch", "logistic_regression", "ridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSpec:
    """`{method: influence_function, curvature: ekfac, damping: 0.1}`; `apportion methods` lists the methods.

    name: what its values are called, the method's name by default. curvature: of methods that have one; damping: added
    to it (None: a tenth of each layer's mean eigenvalue for kfac, ekfac, datainf and logra, 0.01 for others, 0 for
    lanczos; for trak 0, or a thousandth of the Gram matrix's mean diagonal where that is singular). matrix, rank,
    iterations, tolerance, depth, repeats, batch, scaling: see `estimators.gradient.record`;
    batch unsaid: the whole training set. labels: true, or sampled from the model, for kfac and ekfac. layers: patterns
    of parameter names. dimensions: of random projections (trak unsaid: a quarter of the training instances, 1,024 at
    most). trajectory: what is recorded of the run where the method
    needs more than its end: `every 30 epochs` (unsaid: every epoch), `losses` or `all`; methods that need every step
    record all. segments: of source. models: how many models trak averages over: of the whole training set, seeds of
    their own, or those that `campaign` kept of its first draws (`keep: true` in the learner), the ensemble of the
    paper. gives: `matrix` [n, n_test], `mean` (data values [n], by one solve), `strongest` (proponents and opponents of
    each test instance, as many as `strongest` says), `groups` (sums over the groups of `groups`: `class`, `all`, or a
    column of the training table) or `self` (influence on one's own loss), the last four without the matrix; unsaid:
    what the method is for. self_influence: stored as well (unsaid: where it does not cost a solve for each training
    instance). instances: of pbrf, how many training instances are left out (unsaid: all), drawn by `seed`. nearest: of
    fast_if, training instances a test instance. form: of group_influence: first, neumann, basu or newton; losses:
    linearised, or measured at the moved parameters. penalty: of representers' last layer, in (1/n) sum L + penalty
    (||theta||^2 / 2, ||theta||_1 or the nuclear norm).
    """

    method: str
    name: str | None = None
    curvature: CurvatureName | None = None
    damping: NotNegative | None = None
    matrix: Literal["hessian", "gauss_newton", "fisher"] = "gauss_newton"
    labels: Literal["true", "sampled"] = "sampled"
    rank: Count = 50
    iterations: Count = 200
    tolerance: Positive = 1e-5
    depth: Count = 5000
    repeats: Count = 1
    batch: Count | None = None
    scaling: Positive = 10.0
    layers: tuple[str, ...] = ()
    dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    dimensions: Count | None = None
    trajectory: str | None = None
    segments: Count = 3
    models: Count = 3
    campaign: str | None = None
    gives: Gives | None = None
    strongest: Count = 20
    groups: str | None = None
    self_influence: bool | None = None
    instances: Count | None = None
    nearest: Count = 1000
    form: GroupForm = "basu"
    losses: Literal["linearised", "measured"] = "linearised"
    penalty: Positive = 0.01
    seed: Seed = 0

    @property
    def label(self) -> str:
        """What its values are called."""
        return self.name or self.method

    @property
    def given(self) -> Gives:
        """What its values are."""
        return self.gives or gradient_method(self.method).gives

    @property
    def grouped_by(self) -> str | None:
        """What makes the groups of its sums."""
        return self.groups or ("all" if self.method == "tracin_ad" else None)

    @property
    def models_needed(self) -> int:
        """How many models."""
        return self.models if gradient_method(self.method).needs == "several models" else 1

    @property
    def stores_self_influence(self) -> bool:
        """Each training instance's influence on its own loss is stored."""
        method = gradient_method(self.method)
        if self.given == "self" or method.runner in {"trak", "head", "closed_form"}:
            return True
        if method.runner == "unroll":
            return self.method not in DEAR_RUNS if self.self_influence is None else self.self_influence
        if method.runner != "engine" or method.estimator is None:
            return False
        cheap = (self.curvature or method.estimator.curvature) not in DEAR_FOR_EACH
        return cheap if self.self_influence is None else self.self_influence

    @property
    def recorded(self) -> str:
        """What is recorded of the run of the whole training set, empty where the end alone is needed.

        Raises LearnerError where the method and `trajectory` do not fit.
        """
        needs = gradient_method(self.method).needs
        if needs not in {"checkpoints", "every step"}:
            if self.trajectory is not None:
                raise LearnerError(f"gradients: {self.method} needs {needs}: leave `trajectory` out")
            return ""
        asked = self.trajectory or ("all" if needs == "every step" else "every epoch")
        if trajectory_mode(asked).kind != "all" and needs == "every step":
            raise LearnerError(f"gradients: {self.method} needs every step of the run: write `trajectory: all`")
        return asked
