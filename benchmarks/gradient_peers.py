"""The peers' own calls for the questions of `gradients.py`, each imported where it is asked for; all [n, n_test]."""

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

BATCH = 512


def vmap_tracin(case: Any) -> np.ndarray:
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
    return total


def _pairs(part: Any) -> TensorDataset:
    return TensorDataset(part.features, part.labels)


def captum_tracin(case: Any) -> np.ndarray:
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
    return explainer.influence((case.test.features, case.test.labels)).numpy().T


def captum_arnoldi(case: Any, steps: int, rank: int, damping: float) -> np.ndarray:
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
        hessian_reg=damping * len(case.train),
        hessian_inverse_tol=1e-8,
    )
    return explainer.influence((case.test.features, case.test.labels)).numpy().T * len(case.train)


def _kronfluence(case: Any, strategy: str, damping: float) -> np.ndarray:
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
        return analyzer.load_pairwise_scores("s")["all_modules"].numpy().T.copy()


def kronfluence_ekfac(case: Any, damping: float) -> np.ndarray:
    return _kronfluence(case, "ekfac", damping)


def kronfluence_tracin(case: Any) -> np.ndarray:
    return _kronfluence(case, "identity", 0.0)


def _dattri_task(case: Any) -> Any:
    from dattri.task import AttributionTask

    def loss(params: Any, data: Any) -> Tensor:
        x, y = data
        return nn.functional.cross_entropy(functional_call(case.module, params, (x,)), y)

    return AttributionTask(loss_func=loss, model=copy.deepcopy(case.module), checkpoints=case.states[-1])


def dattri_cg(case: Any, tests: int, damping: float, iterations: int) -> np.ndarray:
    from dattri.algorithm.influence_function import IFAttributorCG

    attributor = IFAttributorCG(task=_dattri_task(case), max_iter=iterations, regularization=damping)
    train, test = _pairs(case.train), _pairs(case.test[:tests])
    attributor.cache(DataLoader(train, batch_size=len(train), shuffle=False))
    loaders = DataLoader(train, batch_size=BATCH, shuffle=False), DataLoader(test, batch_size=tests, shuffle=False)
    return attributor.attribute(*loaders).detach().numpy()


def _pydvl(case: Any, make: Any, tests: int) -> np.ndarray:
    from pydvl.influence import SequentialInfluenceCalculator

    train = DataLoader(_pairs(case.train), batch_size=1000, shuffle=False)
    influence = make().fit(train)
    calculator = SequentialInfluenceCalculator(influence)
    test = DataLoader(_pairs(case.test[:tests]), batch_size=tests, shuffle=False)
    lazy = calculator.influences(test, train)
    chunks = [torch.cat(list(row), dim=1) for row in lazy.generator_factory()]
    return torch.cat(chunks).detach().numpy().T


def pydvl_arnoldi(case: Any, rank: int, damping: float) -> np.ndarray:
    from pydvl.influence.torch import ArnoldiInfluence

    def make() -> Any:
        return ArnoldiInfluence(
            copy.deepcopy(case.module), nn.functional.cross_entropy, regularization=damping, rank=rank, tol=1e-3
        )

    return _pydvl(case, make, len(case.test))


def pydvl_cg(case: Any, tests: int, damping: float, tolerance: float) -> np.ndarray:
    from pydvl.influence.torch import CgInfluence

    def make() -> Any:
        return CgInfluence(
            copy.deepcopy(case.module),
            nn.functional.cross_entropy,
            regularization=damping,
            rtol=tolerance,
            solve_simultaneously=True,
        )

    return _pydvl(case, make, tests)


def traker_scores(case: Any, dimensions: int, folder: Path) -> np.ndarray:
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
    return np.array(traker.finalize_scores("test"))


def _blocks(part: Any) -> list[tuple[Tensor, Tensor]]:
    return [(block.features, block.labels) for block in part.blocks(BATCH)]
