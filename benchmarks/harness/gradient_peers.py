"""The peers' own calls for the questions of `gradients.py`, each imported where it is asked for."""

# ruff: noqa: PLC0415

import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset

from harness.gradient_cases import Answer

BATCH = 512


def vmap_tracin(case: Any) -> Answer:
    """What one writes by hand: per-instance gradients by vmap, one matrix product a block."""
    total = np.zeros((len(case.train), len(case.test)))

    def loss(state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(case.module, state, (x[None],)), y[None])

    rows = vmap(grad(loss), in_dims=(None, 0, 0))

    def dense(state: dict[str, Tensor], part: Any) -> Tensor:
        found = rows(state, part.features, part.labels)
        return torch.cat([each.flatten(1) for each in found.values()], dim=1)

    for state in case.states:
        test = dense(state, case.test).T
        for start in range(0, len(case.train), 256):
            total[start : start + 256] += 0.1 * (dense(state, case.train[start : start + 256]) @ test).numpy()
    return Answer(total)


def _pairs(part: Any) -> TensorDataset:
    return TensorDataset(part.features, part.labels)


def captum_tracin(case: Any) -> Answer:
    from captum.influence import TracInCP

    def load(module: nn.Module, number: str) -> float:
        module.load_state_dict(case.states[int(number)])
        return 0.1

    explainer = TracInCP(
        copy.deepcopy(case.module),
        _pairs(case.train),
        [str(k) for k in range(len(case.states))],
        load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=BATCH,
        sample_wise_grads_per_batch=True,
    )
    return Answer(explainer.influence((case.test.features, case.test.labels)).numpy().T)


def captum_arnoldi(case: Any, steps: int, rank: int) -> Answer:
    from captum.influence._core.arnoldi_influence_function import ArnoldiInfluenceFunction

    def load(module: nn.Module, _path: str) -> float:
        module.load_state_dict(case.states[-1])
        return 1.0

    explainer = ArnoldiInfluenceFunction(
        copy.deepcopy(case.module),
        _pairs(case.train),
        "0",
        load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=1000,
        sample_wise_grads_per_batch=True,
        arnoldi_dim=steps,
        arnoldi_tol=1e-10,
        projection_dim=rank,
        hessian_reg=0.0,
        hessian_inverse_tol=1e-8,
    )
    values = explainer.influence((case.test.features, case.test.labels)).numpy().T * len(case.train)
    vectors = torch.stack([torch.cat([part.flatten() for part in vector]) for vector in explainer.R])
    return Answer(values, pairs=vectors, products=steps)


def _kronfluence(case: Any, strategy: str, damping: float) -> Answer:
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    class Classification(Task):
        def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:  # noqa: FBT001, FBT002
            assert not sample
            return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")

    task = Classification()
    with tempfile.TemporaryDirectory() as folder:
        model = prepare_model(copy.deepcopy(case.module), task)
        analyzer = Analyzer("bench", model, task, cpu=True, output_dir=folder, disable_tqdm=True)
        analyzer.fit_all_factors(
            "f",
            dataset=_pairs(case.train),
            per_device_batch_size=BATCH,
            factor_args=FactorArguments(strategy=strategy, use_empirical_fisher=True),
        )
        analyzer.compute_pairwise_scores(
            "s",
            factors_name="f",
            query_dataset=_pairs(case.test),
            train_dataset=_pairs(case.train),
            per_device_query_batch_size=len(case.test),
            per_device_train_batch_size=BATCH,
            score_args=ScoreArguments(damping_factor=damping),
        )
        return Answer(analyzer.load_pairwise_scores("s")["all_modules"].numpy().T.copy())


def kronfluence_ekfac(case: Any, damping: float) -> Answer:
    return _kronfluence(case, "ekfac", damping)


def kronfluence_tracin(case: Any) -> Answer:
    return _kronfluence(case, "identity", 0.0)


def _dattri_task(case: Any) -> Any:
    from dattri.task import AttributionTask

    def loss(params: Any, data: Any) -> Tensor:
        x, y = data
        return nn.functional.cross_entropy(functional_call(case.module, params, (x,)), y)

    return AttributionTask(loss_func=loss, model=copy.deepcopy(case.module), checkpoints=case.states[-1])


def dattri_cg(case: Any, tests: int, damping: float, iterations: int) -> Answer:
    from dattri.algorithm.influence_function import IFAttributorCG

    class Kept(IFAttributorCG):
        def transform_test_rep(self, ckpt_idx: int, test_rep: Tensor) -> Tensor:
            self.solutions = super().transform_test_rep(ckpt_idx, test_rep)
            return self.solutions

    attributor = Kept(task=_dattri_task(case), max_iter=iterations, regularization=damping)
    values = _dattri_values(case, attributor, tests)
    return Answer(values, attributor.solutions, products=iterations)


def dattri_arnoldi(case: Any, steps: int, rank: int) -> Answer:
    from dattri.algorithm.influence_function import IFAttributorArnoldi

    attributor = IFAttributorArnoldi(task=_dattri_task(case), proj_dim=rank, max_iter=steps)
    values = _dattri_values(case, attributor, len(case.test))
    given = torch.zeros(1, sum(p.numel() for p in case.module.parameters()), requires_grad=True)
    images = attributor.arnoldi_projectors[0](given)[0]  # linear: its rows are the eigenvectors, scaled
    pairs = torch.cat([torch.autograd.grad(each, given, retain_graph=True)[0] for each in images])
    return Answer(values, pairs=pairs, products=steps)


def _dattri_values(case: Any, attributor: Any, tests: int) -> np.ndarray:
    """All training instances in one batch: it solves again for each of them."""
    train, test = _pairs(case.train), _pairs(case.test[:tests])
    attributor.cache(DataLoader(train, batch_size=len(train), shuffle=False))
    loaders = DataLoader(train, batch_size=len(train)), DataLoader(test, batch_size=tests)
    return attributor.attribute(*loaders).detach().numpy()


def _pydvl_values(case: Any, model: Any, tests: int) -> tuple[np.ndarray, Tensor]:
    """Values and the solutions that they come from."""
    test = case.test[:tests]
    factors = model.influence_factors(test.features, test.labels)
    blocks = [model.influences_from_factors(factors, x, y) for x, y in _blocks(case.train)]
    return torch.cat(blocks, dim=1).detach().numpy().T, factors.detach()


def _pydvl_data(case: Any) -> DataLoader[Any]:
    return DataLoader(_pairs(case.train), batch_size=1000, shuffle=False)


def pydvl_arnoldi(case: Any, steps: int, rank: int, tolerance: float) -> Answer:
    from pydvl.influence.torch import ArnoldiInfluence

    model = ArnoldiInfluence(
        copy.deepcopy(case.module),
        nn.functional.cross_entropy,
        regularization=1e-9,
        rank=rank,
        krylov_dimension=steps,
        tol=tolerance,
    ).fit(_pydvl_data(case))
    values, _ = _pydvl_values(case, model, len(case.test))
    (block,) = model.block_mapper.composable_block_dict.values()
    return Answer(values, pairs=block.op.low_rank_representation.projections.detach().T)


def pydvl_cg(case: Any, tests: int, damping: float, iterations: int, *, block: bool) -> Answer:
    from pydvl.influence.torch import CgInfluence

    model = CgInfluence(
        copy.deepcopy(case.module),
        nn.functional.cross_entropy,
        regularization=damping,
        rtol=1e-12,  # its own stop compares norms over tests with residuals of parameters: steps are counted instead
        atol=0.0,
        maxiter=iterations,
        warn_on_max_iteration=False,
        solve_simultaneously=block,
    ).fit(_pydvl_data(case))
    values, solutions = _pydvl_values(case, model, tests)
    return Answer(values, solutions, products=iterations)


def pydvl_ekfac(case: Any, damping: float) -> Answer:
    from pydvl.influence.torch import EkfacInfluence

    model = EkfacInfluence(copy.deepcopy(case.module), update_diagonal=True, hessian_regularization=damping)
    values, _ = _pydvl_values(case, model.fit(_pydvl_data(case)), len(case.test))
    return Answer(values)


def traker_scores(case: Any, dimensions: int, folder: Path) -> Answer:
    from trak import TRAKer
    from trak.projectors import BasicProjector, ProjectionType

    size = sum(p.numel() for p in case.module.parameters())
    projector = BasicProjector(
        grad_dim=size,
        proj_dim=dimensions,
        seed=0,
        proj_type=ProjectionType.rademacher,
        device="cpu",
        block_size=dimensions,
    )
    traker = TRAKer(
        model=copy.deepcopy(case.module),
        task="image_classification",
        train_set_size=len(case.train),
        save_dir=str(folder / "trak"),
        device="cpu",
        projector=projector,
        proj_dim=dimensions,
        use_half_precision=False,
        logging_level=50,
    )
    for number, state in enumerate(case.states):
        traker.load_checkpoint(state, model_id=number)
        for block in _blocks(case.train):
            traker.featurize(batch=block, num_samples=len(block[0]))
    traker.finalize_features()
    for number, state in enumerate(case.states):
        traker.start_scoring_checkpoint("test", state, number, num_targets=len(case.test))
        for block in _blocks(case.test):
            traker.score(batch=block, num_samples=len(block[0]))
    return Answer(np.array(traker.finalize_scores("test")))


def _blocks(part: Any) -> list[tuple[Tensor, Tensor]]:
    return [(block.features, block.labels) for block in part.blocks(BATCH)]
