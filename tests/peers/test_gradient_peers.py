"""Gradient estimators against captum, kronfluence, dattri and traker on one softmax regression, at their own scales.

The scales are measured ones: captum's influence functions divide the damping by n, kronfluence and dattri have no 1/n,
traker divides by a positive number of its own.
"""

import numpy as np
import pytest
import torch
from gradient_case import DAMPING, N_TEST, N, loader, near, ours, pairs, softmax_regression
from torch import nn
from torch.func import functional_call

from estimators.gradient.engine import Engine
from estimators.gradient.objective import CrossEntropy, Objective
from estimators.gradient.record import Estimator
from estimators.gradient.source import gradient_source
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.trak import trak


@pytest.fixture
def case():
    return softmax_regression()


def test_captum_tracin(case):
    influence = pytest.importorskip("captum.influence")
    module, train, test = case
    states = [{k: v + 0.1 * t for k, v in module.state_dict().items()} for t in range(2)]

    def load(model, number):
        model.load_state_dict(states[int(number)])
        return 0.1 * (int(number) + 1)

    explainer = influence.TracInCP(
        nn.Sequential(nn.Linear(5, 3)),
        pairs(train),
        ["0", "1"],
        load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=8,
        sample_wise_grads_per_batch=True,
    )
    expected = explainer.influence((test.features, test.labels)).numpy().T
    checkpoints = tuple(Checkpoint(state, 0.1 * (t + 1)) for t, state in enumerate(states))
    source = gradient_source(Objective(module, CrossEntropy()), train)
    record = Estimator(name="tracin_cp", weights="rate")
    near(Engine(record, source, train, test, checkpoints).values(), expected)


def test_captum_influence_function(case):
    naive = pytest.importorskip("captum.influence._core.influence_function").NaiveInfluenceFunction
    module, train, test = case

    def load(model, _path):
        model.load_state_dict(module.state_dict())
        return 1.0

    explainer = naive(
        nn.Sequential(nn.Linear(5, 3)),
        pairs(train),
        "0",
        load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=N,
        sample_wise_grads_per_batch=True,
        projection_dim=18,
        hessian_reg=DAMPING * N,
    )
    expected = explainer.influence((test.features, test.labels)).numpy().T
    near(ours(case, "exact", damping=DAMPING), expected, 1e-4)


@pytest.mark.parametrize("strategy", ["identity", "diagonal", "kfac", "ekfac"])
def test_kronfluence(case, strategy, tmp_path):
    analyzers = pytest.importorskip("kronfluence.analyzer")
    arguments, tasks = (__import__(f"kronfluence.{name}", fromlist=["x"]) for name in ("arguments", "task"))
    module, train, test = case

    class Classification(tasks.Task):
        def compute_train_loss(self, batch, model, sample=False):
            return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")

        def compute_measurement(self, batch, model):
            return self.compute_train_loss(batch, model)

    task = Classification()
    model = nn.Sequential(nn.Linear(5, 3))
    model.load_state_dict(module.state_dict())
    analyzer = analyzers.Analyzer(
        "test", analyzers.prepare_model(model, task), task, cpu=True, output_dir=str(tmp_path), disable_tqdm=True
    )
    analyzer.fit_all_factors(
        "f",
        dataset=pairs(train),
        per_device_batch_size=N,
        factor_args=arguments.FactorArguments(strategy=strategy, use_empirical_fisher=True),
    )
    analyzer.compute_pairwise_scores(
        "s",
        factors_name="f",
        query_dataset=pairs(test),
        train_dataset=pairs(train),
        per_device_query_batch_size=N_TEST,
        per_device_train_batch_size=N,
        score_args=arguments.ScoreArguments(damping_factor=DAMPING),
    )
    expected = analyzer.load_pairwise_scores("s")["all_modules"].numpy().T
    if strategy == "identity":
        near(ours(case, "identity", weights="rate"), expected)
    else:
        near(ours(case, strategy, damping=DAMPING, labels="true") * N, expected)


@pytest.mark.parametrize("name", ["IFAttributorExplicit", "IFAttributorDataInf"])
def test_dattri(case, name):
    algorithms = pytest.importorskip("dattri.algorithm.influence_function")
    task_module = pytest.importorskip("dattri.task")
    module, train, test = case

    def loss(params, data):
        return nn.functional.cross_entropy(functional_call(module, params, (data[0],)), data[1])

    task = task_module.AttributionTask(loss_func=loss, model=module, checkpoints=module.state_dict())
    attributor = getattr(algorithms, name)(task=task, regularization=DAMPING)
    loaders = [loader(each) for each in (train, test)]
    attributor.cache(loaders[0])
    expected = attributor.attribute(*loaders).detach().numpy()
    if name == "IFAttributorExplicit":
        near(ours(case, "exact", damping=DAMPING) * N, expected, 1e-4)
    else:  # one extra 1/n, per parameter tensor instead of per layer
        assert np.corrcoef(ours(case, "datainf", damping=DAMPING).ravel(), expected.ravel())[0, 1] > 0.99


def test_traker(case, tmp_path):
    trak_module = pytest.importorskip("trak")
    projectors = pytest.importorskip("trak.projectors")
    module, train, test = case
    traker = trak_module.TRAKer(
        model=module,
        task="image_classification",
        train_set_size=N,
        save_dir=str(tmp_path / "trak"),
        device="cpu",
        projector=projectors.NoOpProjector(18, 18, 0, projectors.ProjectionType.normal, "cpu"),
        proj_dim=18,
        use_half_precision=False,
        lambda_reg=0.1,
        logging_level=50,
    )
    state = module.state_dict()
    traker.load_checkpoint(state, model_id=0)
    traker.featurize(batch=(train.features, train.labels), num_samples=N)
    traker.finalize_features()
    traker.start_scoring_checkpoint("t", state, 0, num_targets=N_TEST)
    traker.score(batch=(test.features, test.labels), num_samples=N_TEST)
    expected = np.array(traker.finalize_scores("t"))
    source = gradient_source(Objective(module, CrossEntropy()), train, dtype=torch.float64)
    found = trak(source, train, test, [state], damping=0.1 * 18)
    scale = float((found * expected).sum() / (found**2).sum())
    assert scale > 0
    near(scale * found, expected, 1e-4)
