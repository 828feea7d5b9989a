"""One entry of a job's `gradients`: a gradient method and its options, as a plain record."""

from dataclasses import dataclass, replace
from typing import Literal

from estimators.gradient.methods import GradientMethod
from estimators.gradient.record import CurvatureName, CurvatureOptions, Estimator, Projection
from estimators.gradient.registry import gradient_method
from workers.errors import LearnerError
from workers.option_types import Count, NotNegative, Positive, Seed
from workers.trajectory import trajectory_mode

Gives = Literal["matrix", "mean", "strongest", "groups", "self"]
DEAR_FOR_EACH = ("conjugate_gradient", "lissa", "datainf")
"""Curvatures whose every solve goes over the training set."""
GRADIENT_LEARNERS = ("torch", "logistic_regression", "ridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSpec:
    """`{method: influence_function, curvature: ekfac, damping: 0.1}`; `apportion methods` lists the methods.

    name: what its values are called, the method's name by default. curvature: of methods that have one; damping: added
    to it (None: a tenth of each layer's mean eigenvalue for kfac, ekfac, datainf and logra, 0.01 for others, 0 for
    lanczos). matrix, rank, iterations, tolerance, depth, repeats, scaling: see `estimators.gradient.record`.
    labels: true, or sampled from the model, for kfac and ekfac. layers: patterns of parameter names. dimensions: of
    random projections. trajectory: what is recorded of the run where the method needs more than its end: `every 30
    epochs` (unsaid: every epoch), `losses` or `all`; methods that need every step record all. segments: of source.
    models: how many models trak averages over: of the whole training set, seeds of their own, or those that `campaign`
    kept of its first draws (`keep: true` in the learner), the ensemble of the paper. gives: `matrix` [n, n_test],
    `mean` (data values [n], by one solve), `strongest` (proponents and opponents of each test instance, as many as
    `strongest` says), `groups` (sums over the groups of `groups`: `class`, or a column of the training table) or `self`
    (influence on one's own loss), the last four without the matrix. self_influence: stored as well (unsaid: where it
    does not cost a solve for each training instance). instances: of pbrf, how many training instances are left out
    (unsaid: all), drawn by `seed`.
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
    scaling: Positive = 10.0
    layers: tuple[str, ...] = ()
    dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    dimensions: Count | None = None
    trajectory: str | None = None
    segments: Count = 3
    models: Count = 3
    campaign: str | None = None
    gives: Gives = "matrix"
    strongest: Count = 20
    groups: str | None = None
    self_influence: bool | None = None
    instances: Count | None = None
    seed: Seed = 0

    @property
    def label(self) -> str:
        """What its values are called."""
        return self.name or self.method

    @property
    def models_needed(self) -> int:
        """How many models."""
        return self.models if gradient_method(self.method).needs == "several models" else 1

    @property
    def stores_self_influence(self) -> bool:
        """Each training instance's influence on its own loss is stored."""
        method = gradient_method(self.method)
        if self.gives == "self" or method.estimator is None:
            return self.gives == "self" or method.runner == "trak"
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


def served_method(spec: GradientSpec) -> GradientMethod:
    """The method, where a job can carry it out.

    Raises:
        UnknownName: no method of that name. LearnerError: one that needs what a job does not keep.
    """
    method = gradient_method(spec.method)
    if method.runner == "python":
        raise LearnerError(f"gradients: {spec.method} is for Python: {method.function}")
    _ = spec.recorded
    _refuse_misfits(spec, method)
    if method.estimator is not None and spec.curvature is not None and method.estimator.curvature == "identity":
        raise LearnerError(f"gradients: {spec.method} has no curvature: leave `curvature` out")
    return method


def _refuse_misfits(spec: GradientSpec, method: GradientMethod) -> None:
    """Options that the method does not take."""
    if spec.campaign is not None and method.runner != "trak":
        raise LearnerError(f"gradients: {spec.method} takes no models of a campaign: leave `campaign` out")
    if spec.gives != "matrix" and method.runner != "engine":
        raise LearnerError(f"gradients: {spec.method} gives its matrix only: leave `gives` out")
    if (spec.gives == "groups") != (spec.groups is not None):
        raise LearnerError("gradients: write `gives: groups` and `groups: COLUMN` together, or neither")
    if spec.self_influence and method.runner != "engine":
        raise LearnerError(f"gradients: {spec.method} stores no influence on an instance's own loss of its own accord")
    if spec.instances is not None and method.runner != "response":
        raise LearnerError(f"gradients: {spec.method} values every training instance: leave `instances` out")


def estimator_of(spec: GradientSpec) -> Estimator:
    """The method's record with the options of the spec. Raises as `served_method`."""
    record = served_method(spec).estimator
    if record is None:
        raise LearnerError(f"gradients: {spec.method} is no record of the engine")
    options = CurvatureOptions(
        damping=spec.damping,
        matrix=spec.matrix,
        labels=spec.labels,
        rank=spec.rank,
        iterations=spec.iterations,
        tolerance=spec.tolerance,
        depth=spec.depth,
        repeats=spec.repeats,
        scaling=spec.scaling,
        seed=spec.seed,
    )
    projection = record.projection
    if projection is not None:
        projection = replace(projection, seed=spec.seed, dimensions=spec.dimensions or projection.dimensions)
    return replace(record, curvature=spec.curvature or record.curvature, options=options, projection=projection)


def trak_projection(spec: GradientSpec) -> Projection:
    """How TRAK projects."""
    return Projection(kind="product", dimensions=spec.dimensions or 1024, seed=spec.seed)
