"""The curvatures by name, each fitted on the training set at one checkpoint."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from estimators.errors import EstimatorError
from estimators.gradient.curvature.conjugate_gradient import ConjugateGradient
from estimators.gradient.curvature.datainf import fit_datainf
from estimators.gradient.curvature.dense import fit_dense
from estimators.gradient.curvature.diagonal import fit_diagonal
from estimators.gradient.curvature.kronecker import fit_kronecker
from estimators.gradient.curvature.lanczos import fit_lanczos
from estimators.gradient.curvature.layer_fisher import fit_layer_fisher
from estimators.gradient.curvature.lissa import Lissa
from estimators.gradient.curvature.nystroem import fit_nystroem
from estimators.gradient.curvature.products import CurvatureProducts
from estimators.gradient.curvature.protocol import Curvature, Identity
from estimators.gradient.curvature.woodbury import fit_woodbury
from estimators.gradient.objective import Instances
from estimators.gradient.record import CurvatureName, CurvatureOptions
from estimators.gradient.source import GradientSource

DEFAULT_DAMPING = 0.01
Fit = Callable[[GradientSource, Instances, CurvatureOptions], Curvature]


def fit_curvature(
    name: CurvatureName, source: GradientSource, train: Instances, options: CurvatureOptions
) -> Curvature:
    """The curvature of the objective on the training set, at the source's present parameters.

    Raises:
        EstimatorError: an unknown name, or a solver that cannot take this model.
    """
    if name not in FITS:
        raise EstimatorError(f"no curvature {name!r}; there are {', '.join(FITS)}")
    return FITS[name](source, train, options)


def _damping(options: CurvatureOptions) -> float:
    return DEFAULT_DAMPING if options.damping is None else options.damping


def _identity(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    del train, options
    return Identity(source.layout)


def _diagonal(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    penalties = source.penalties()
    return fit_diagonal(source.layout, source.blocks(train), penalties, damping=_damping(options))


def _exact(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    return fit_dense(CurvatureProducts(source, train, options.matrix), damping=_damping(options))


def _conjugate_gradient(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    damping, preconditioner = _damping(options), None
    if options.preconditioned:
        preconditioner = fit_kronecker(source, train, labels="true", damping=damping).solve
    products = CurvatureProducts(source, train, options.matrix)
    return ConjugateGradient(
        source.layout,
        products,
        damping=damping,
        tolerance=options.tolerance,
        max_iterations=options.iterations,
        preconditioner=preconditioner,
        rough=products.rough,
    )


def _lissa(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    return Lissa(
        source,
        train,
        damping=_damping(options),
        kind=options.matrix,
        depth=options.depth,
        repeats=options.repeats,
        batch=options.batch,
        scaling=options.scaling,
        seed=options.seed,
    )


def _lanczos(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    start = _normal(source, 1, options.seed)[0]
    return fit_lanczos(
        CurvatureProducts(source, train, options.matrix),
        source.layout,
        start,
        rank=options.rank,
        iterations=options.iterations,
        damping=0.0 if options.damping is None else options.damping,
    )


def _nystroem(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    sketch = _normal(source, min(options.rank, source.layout.size), options.seed)
    products = CurvatureProducts(source, train, options.matrix)
    return fit_nystroem(products, source.layout, sketch, damping=_damping(options))


def _woodbury(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    penalties = source.penalties()
    if bool((penalties != penalties[0]).any()):
        raise EstimatorError(
            "woodbury takes one penalty for all parameters; take conjugate_gradient with matrix: fisher"
        )
    diagonal = _damping(options) + float(penalties[0])
    return fit_woodbury(source.layout, lambda: source.blocks(train), diagonal=diagonal)


def _datainf(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    return fit_datainf(source.layout, lambda: source.blocks(train), damping=options.damping)


def _layer_fisher(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
    return fit_layer_fisher(source.layout, source.blocks(train), source.penalties(), damping=options.damping)


def _kronecker(*, corrected: bool) -> Fit:
    def fit(source: GradientSource, train: Instances, options: CurvatureOptions) -> Curvature:
        return fit_kronecker(
            source, train, corrected=corrected, labels=options.labels, damping=options.damping, seed=options.seed
        )

    return fit


def _normal(source: GradientSource, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, source.layout.size, generator=generator, dtype=torch.float64)
    return drawn.to(source.device, source.dtype)


FITS: Mapping[str, Fit] = MappingProxyType(
    {
        "identity": _identity,
        "diagonal": _diagonal,
        "exact": _exact,
        "conjugate_gradient": _conjugate_gradient,
        "lissa": _lissa,
        "lanczos": _lanczos,
        "nystroem": _nystroem,
        "woodbury": _woodbury,
        "kfac": _kronecker(corrected=False),
        "ekfac": _kronecker(corrected=True),
        "datainf": _datainf,
        "layer_fisher": _layer_fisher,
    }
)
