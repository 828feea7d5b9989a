"""Which entries of a job's `gradients` can be carried out, and the records that the engine makes of them."""

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType

from estimators.gradient.methods import GradientMethod
from estimators.gradient.record import CurvatureOptions, Estimator, Projection
from estimators.gradient.registry import gradient_method
from workers.errors import LearnerError
from workers.gradient_specs import GradientSpec

READERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "campaign": ("trak",),
        "models": ("trak",),
        "instances": ("pbrf",),
        "nearest": ("fast_if",),
        "form": ("group_influence",),
        "losses": ("group_influence",),
        "penalty": ("representer_point", "representer_l1", "representer_nuclear", "representer_lje"),
        "segments": ("source",),
        "strongest": ("gives: strongest",),
        "batch": ("curvature: lissa",),
        "depth": ("curvature: lissa",),
        "repeats": ("curvature: lissa",),
        "scaling": ("curvature: lissa",),
    }
)
"""Options that only some entries read: methods, or another option with the value that makes it read."""
MOST_DIMENSIONS = 1024
_DEFAULTS = {each.name: each.default for each in fields(GradientSpec)}


def served_method(spec: GradientSpec) -> GradientMethod:
    """The method, where a job can carry it out.

    Raises:
        UnknownName: no method of that name. LearnerError: one that needs what a job does not keep.
    """
    method = gradient_method(spec.method)
    if method.runner == "python":
        raise LearnerError(f"gradients: {spec.method} is for Python ({method.function}): {method.refused}")
    _ = spec.recorded
    _refuse_misfits(spec, method)
    if method.estimator is not None and spec.curvature is not None and method.estimator.curvature == "identity":
        raise LearnerError(f"gradients: {spec.method} has no curvature: leave `curvature` out")
    return method


def _refuse_misfits(spec: GradientSpec, method: GradientMethod) -> None:
    """Options that the method does not take."""
    for name, readers in READERS.items():
        if getattr(spec, name) != _DEFAULTS[name] and not _reads(spec, method, readers):
            raise LearnerError(
                f"gradients: {spec.method} takes no `{name}`, {' or '.join(readers)} does: leave `{name}` out"
            )
    takes = method.runner == "engine" or (method.runner == "unroll" and spec.given == "self")
    if spec.given != method.gives and not takes:
        raise LearnerError(f"gradients: {spec.method} gives {_GIVEN[method.gives]} only: leave `gives` out")
    if (spec.given == "groups") != (spec.grouped_by is not None):
        raise LearnerError(f"gradients: {spec.method}: {_grouping_mend(spec, method)}")
    if spec.self_influence and method.runner in {"groups", "nearest", "response"}:
        raise LearnerError(f"gradients: {spec.method} has no influence on an instance's own loss: {_NO_SELF}")


_GIVEN = {"matrix": "its matrix", "groups": "sums over groups", "self": "one number an instance"}
_NO_SELF = "leave `self_influence` out; influence_function and representer_point have one"


def _grouping_mend(spec: GradientSpec, method: GradientMethod) -> str:
    if method.gives == "groups":
        return "write `groups: COLUMN`, `class` or `all`" if spec.groups is None else "leave `gives` out"
    return "write `gives: groups` and `groups: COLUMN` together, or neither"


def _reads(spec: GradientSpec, method: GradientMethod, readers: tuple[str, ...]) -> bool:
    curvature = spec.curvature or (None if method.estimator is None else method.estimator.curvature)
    here = {spec.method, f"gives: {spec.given}", f"curvature: {curvature}"}
    return bool(here & set(readers))


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
        batch=spec.batch,
        scaling=spec.scaling,
        seed=spec.seed,
    )
    projection = record.projection
    if projection is not None:
        projection = replace(projection, seed=spec.seed, dimensions=spec.dimensions or projection.dimensions)
    return replace(record, curvature=spec.curvature or record.curvature, options=options, projection=projection)


def trak_projection(spec: GradientSpec, n: int, p: int) -> Projection | None:
    """How TRAK projects the gradients [n, p]; None takes them whole.

    Unsaid: to 1,024 dimensions or a quarter of n, the fewer, so that their Gram matrix has a rank to be solved with.
    """
    dimensions = spec.dimensions or min(MOST_DIMENSIONS, max(1, n // 4))
    if spec.dimensions is None and p <= dimensions:
        return None
    return Projection(kind="product", dimensions=dimensions, seed=spec.seed)


def refuse_singular(spec: GradientSpec, n: int, p: int) -> None:
    """Raise LearnerError for a Gram matrix of TRAK that is singular whatever the gradients [n, p] are."""
    dimensions, most = spec.dimensions or 0, n if spec.damping is None else min(n, p)
    if dimensions > most and not spec.damping:
        few = f"the {n} training instances" if most == n else f"the {p} parameters"
        raise LearnerError(
            f"gradients: {spec.method} in {dimensions} dimensions, more than {few}, has a singular Gram matrix",
            mend=f"leave `dimensions` out, write at most {most}, or give a `damping` above 0",
        )
