"""The solvers of influence functions against dattri's, captum's and pyDVL's, at the scales that those were measured at.

All three answer g_j^T (H + d I)^-1 g_i, H the mean Hessian: captum with 1/n and a damping n times ours, the others
without 1/n; the effective damping of LiSSA is its damping times its scaling.
"""

import numpy as np
import pytest
import torch
from gradient_case import DAMPING, PARAMETERS, RANK, N, loader, near, ours, softmax_regression
from torch import nn
from torch.func import functional_call
from torch.utils.data import TensorDataset


@pytest.fixture
def case():
    return softmax_regression()


def copied(module):
    made = nn.Sequential(nn.Linear(5, 3))
    made.load_state_dict(module.state_dict())
    return made


def dattri_values(case, name, **options):
    algorithms = pytest.importorskip("dattri.algorithm.influence_function")
    task_module = pytest.importorskip("dattri.task")
    module, train, test = case

    def loss(params, data):  # LiSSA hands labels over as floats
        return nn.functional.cross_entropy(functional_call(module, params, (data[0],)), data[1].long())

    task = task_module.AttributionTask(loss_func=loss, model=module, checkpoints=module.state_dict())
    attributor = getattr(algorithms, name)(task=task, **options)
    attributor.cache(loader(train))
    return attributor.attribute(loader(train), loader(test)).detach().numpy()


def test_dattri_conjugate_gradients(case):
    # its iterations go on after convergence, into 0/0: as many as the matrix has eigenvalues and no more
    expected = dattri_values(case, "IFAttributorCG", max_iter=10, regularization=DAMPING)
    near(ours(case, "conjugate_gradient", damping=DAMPING, tolerance=1e-10) * N, expected)


def test_dattri_lissa_has_the_damping_times_the_scaling(case):
    options = {"batch_size": N, "num_repeat": 1, "recursion_depth": 2000}
    expected = dattri_values(case, "IFAttributorLiSSA", damping=0.05, scaling=5.0, **options)
    near(ours(case, "exact", damping=0.25) * N, expected)
    near(ours(case, "lissa", damping=0.25, scaling=5.0, batch=None, depth=2000) * N, expected)


def test_captum_arnoldi(case):
    """In float64, with a tolerance below rounding: it leaves its last direction out where the Krylov space ends."""
    arnoldi = pytest.importorskip("captum.influence._core.arnoldi_influence_function").ArnoldiInfluenceFunction
    module, train, test = case
    torch.manual_seed(1)
    explainer = arnoldi(
        copied(module).double(),
        TensorDataset(train.features.double(), train.labels),
        "0",
        lambda _model, _path: 1.0,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=N,
        sample_wise_grads_per_batch=True,
        arnoldi_dim=PARAMETERS,
        projection_dim=PARAMETERS,
        arnoldi_tol=1e-10,
        hessian_reg=DAMPING * N,
    )
    expected = explainer.influence((test.features.double(), test.labels)).numpy().T
    near(ours(case, "exact", damping=DAMPING), expected, 1e-7)
    near(ours(case, "lanczos", damping=DAMPING, iterations=PARAMETERS, rank=RANK), expected, 1e-7)


def pydvl_values(case, name, **options):
    influences = pytest.importorskip("pydvl.influence.torch")
    module, train, test = case
    made = getattr(influences, name)
    loss = () if name == "EkfacInfluence" else (nn.functional.cross_entropy,)
    model = made(copied(module), *loss, **options).fit(loader(train))
    factors = model.influence_factors(test.features, test.labels)
    return model.influences_from_factors(factors, train.features, train.labels).detach().numpy().T


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DirectInfluence", {}),
        ("CgInfluence", {"rtol": 1e-9, "atol": 0.0}),
        ("NystroemSketchInfluence", {"rank": RANK}),
        ("ArnoldiInfluence", {"rank": RANK}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_pydvl(case, name, options):
    expected = pydvl_values(case, name, regularization=DAMPING, **options)
    near(ours(case, "exact", damping=DAMPING) * N, expected, 1e-4 if name.startswith("Nystroem") else 1e-5)
    curvature = {"CgInfluence": "conjugate_gradient", "ArnoldiInfluence": "lanczos"}.get(name)
    if curvature is not None:
        found = ours(case, curvature, damping=DAMPING, rank=RANK, iterations=PARAMETERS, tolerance=1e-10)
        near(found * N, expected)


@pytest.mark.filterwarnings("ignore")
def test_pydvl_lissa_adds_the_damping_times_the_scaling(case):
    options = {"maxiter": 2000, "rtol": 1e-8, "dampen": 0.04, "scale": 5.0}
    expected = pydvl_values(case, "LissaInfluence", regularization=DAMPING, **options)
    near(ours(case, "exact", damping=DAMPING + 0.2) * N, expected, 1e-4)


@pytest.mark.filterwarnings("ignore")
def test_pydvl_ekfac_agrees_in_order(case):
    """It averages the Fisher over all classes, weighted by the model: not the empirical Fisher, nor one draw of it."""
    expected = pydvl_values(case, "EkfacInfluence", update_diagonal=True, hessian_regularization=DAMPING)
    found = ours(case, "ekfac", damping=DAMPING, labels="true") * N
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9
