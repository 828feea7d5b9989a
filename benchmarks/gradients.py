"""How fast are the gradient estimators beside captum, kronfluence, dattri, traker and pyDVL, with equal outputs?

4,000 training and 200 test images of MNIST, one thread; a 784-64-10 network, and a CNN of 8 and 16 channels. Every
question runs with its peers in turn in one process; a peer that is not installed has a row that says so. pyDVL wants an
older pandas than the others, so its rows come from a run in an environment of its own (see CONTRIBUTING.md).

    python benchmarks/gradients.py [tracin] [ekfac] [arnoldi] [cg] [trak] [memory] [gpu] [network] [CNN]
"""

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from harness import gradient_peers as peers
from harness.gradient_cases import (
    Answer,
    Trained,
    influence,
    passes,
    products,
    tracin,
    trained,
    trak_scores,
    unprojected_trak,
)
from harness.gradient_memory import memory_question
from harness.residuals import pair_residual, solution_residual
from harness.table import machine, print_table
from harness.timing import in_turn, ratio
from scipy.stats import spearmanr

DAMPING = 1e-3
STEPS, MORE_STEPS, PAIRS = 50, 70, 20
ARPACK_STEPS, ARPACK, FINER_ARPACK = 40, 0.1, 1e-2
CG_TESTS, CG_DAMPING, CG_TOLERANCE = 20, 0.5, 1e-5
CG_STEPS, CG_BLOCK_STEPS = 13, 6
DIMENSIONS, MORE_DIMENSIONS = 512, 2048
Call = Callable[[], Answer]
Row = tuple[object, ...]


def compared(
    question: str, calls: Mapping[str, tuple[str, Call]], quality: Callable[[Answer, Answer], str], *, turns: int = 1
) -> Iterator[Row]:
    """Rows of the table: CPU seconds of one thread, times ours, how good the output is. calls: name: package, call."""
    outputs: dict[str, Answer] = {}
    ready = {name: call for name, (package, call) in calls.items() if importlib.util.find_spec(package)}

    def kept(name: str, call: Call) -> Callable[[], None]:
        def run() -> None:
            outputs[name] = call()

        return run

    timed = in_turn(
        {name: kept(name, call) for name, call in ready.items()}, turns=turns, warmup=0, clock=time.process_time
    )
    for name in calls:
        if name not in ready:
            yield question, name, "not installed", "", ""
            continue
        seconds, times = f"{timed[name].median:.2f}", f"{ratio(timed[name], timed['ours']):.2f}"
        yield question, name, seconds, times, quality(outputs["ours"], outputs[name])


def difference(ours: Answer, theirs: Answer) -> str:
    """Of their values to ours, over the largest; rank correlation."""
    if np.isnan(theirs.values).all():
        return ""
    gap = np.abs(ours.values - theirs.values).max() / np.abs(theirs.values).max()
    ranks = spearmanr(ours.values.ravel(), theirs.values.ravel()).statistic
    return f"{gap:.1e} of the largest, rank correlation {ranks:.4f}"


def solved(case: Trained) -> Callable[[Answer, Answer], str]:
    """The same, with the residual of the worst solution or eigenpair in float64, and the products taken."""

    def quality(ours: Answer, theirs: Answer) -> str:
        told = [difference(ours, theirs)]
        if theirs.solutions is not None:
            told.append(f"residual {solution_residual(case, theirs.solutions, CG_DAMPING):.1e}")
        if theirs.pairs is not None:
            told.append(f"residual {pair_residual(case, theirs.pairs):.1e}")
        if theirs.products is not None:
            told.append(f"{theirs.products} products")
        return ", ".join(filter(None, told))

    return quality


def tracin_question(case: Trained) -> Iterator[Row]:
    """Exact dot products at three checkpoints."""
    yield from compared(
        f"TracInCP, 3 checkpoints, {case.name} (>= {10 if case.name == 'network' else 3}x)",
        {
            "ours": ("torch", lambda: tracin(case)),
            "torch.func.vmap": ("torch", lambda: peers.vmap_tracin(case)),
            "captum": ("captum", lambda: peers.captum_tracin(case)),
            "kronfluence, one checkpoint": ("kronfluence", lambda: peers.kronfluence_tracin(case)),
            "forward and backward alone, a limit": ("torch", lambda: passes(case)),
        },
        difference,
        turns=2,
    )


def ekfac_question(case: Trained) -> Iterator[Row]:
    """Fit on the empirical Fisher and scores; both are also held against our own float64."""
    exact = influence(case, "ekfac", dtype=torch.float64, damping=DAMPING, labels="true").values

    def quality(ours: Answer, theirs: Answer) -> str:
        gap = np.abs(theirs.values - exact).max() / np.abs(exact).max()
        return f"{difference(ours, theirs)}; {gap:.1e} from float64"

    calls: dict[str, tuple[str, Call]] = {
        "ours": ("torch", lambda: influence(case, "ekfac", damping=DAMPING, labels="true")),
        "kronfluence": ("kronfluence", lambda: peers.kronfluence_ekfac(case, DAMPING)),
    }
    if case.name == "network":
        calls["pyDVL (other eigenvalues)"] = ("pydvl", lambda: peers.pydvl_ekfac(case, DAMPING))
    wanted = 4 if case.name == "network" else 2
    yield from compared(f"EK-FAC fit and scores, {case.name} (>= {wanted}x)", calls, quality, turns=2)


def arnoldi_question(case: Trained) -> Iterator[Row]:
    """As many pairs for all; ours twice, for the two residuals that peers reach."""

    def ours(steps: int) -> Call:
        return lambda: influence(case, "lanczos", iterations=steps, rank=PAIRS, damping=0.0)

    def pydvl(tolerance: float) -> Call:
        return lambda: peers.pydvl_arnoldi(case, ARPACK_STEPS, PAIRS, tolerance)

    yield from compared(
        f"Arnoldi, {PAIRS} pairs, {case.name} (>= 3x)",
        {
            "ours": ("torch", ours(STEPS)),
            f"ours, {MORE_STEPS} steps": ("torch", ours(MORE_STEPS)),
            "products alone, a limit": ("torch", lambda: products(case, 1, STEPS)),
            "captum": ("captum", lambda: peers.captum_arnoldi(case, STEPS, PAIRS)),
            "dattri": ("dattri", lambda: peers.dattri_arnoldi(case, STEPS, PAIRS)),
            "pyDVL": ("pydvl", pydvl(ARPACK)),
            "pyDVL, finer": ("pydvl", pydvl(FINER_ARPACK)),
        },
        solved(case),
        turns=2,
    )


def cg_question(case: Trained) -> Iterator[Row]:
    """(H + 0.5) x = g for 20 tests, with as many steps as take everybody to one residual."""
    options = {"damping": CG_DAMPING, "tolerance": CG_TOLERANCE, "iterations": CG_BLOCK_STEPS}

    def pydvl(steps: int, *, block: bool) -> Call:
        return lambda: peers.pydvl_cg(case, CG_TESTS, CG_DAMPING, steps, block=block)

    yield from compared(
        f"conjugate gradients, {CG_TESTS} tests, {case.name} (>= 3x)",
        {
            "ours": ("torch", lambda: influence(case, "conjugate_gradient", CG_TESTS, **options)),
            "products alone, a limit": ("torch", lambda: products(case, CG_TESTS, CG_BLOCK_STEPS)),
            "dattri": ("dattri", lambda: peers.dattri_cg(case, CG_TESTS, CG_DAMPING, CG_STEPS)),
            "pyDVL": ("pydvl", pydvl(CG_STEPS, block=False)),
            "pyDVL, one block": ("pydvl", pydvl(CG_BLOCK_STEPS, block=True)),
        },
        solved(case),
        turns=2,
    )


def trak_question(case: Trained) -> Iterator[Row]:
    """Quality is the rank correlation, test by test, with unprojected scores of as many degrees of freedom."""
    sizes = DIMENSIONS, MORE_DIMENSIONS
    whole = dict(zip(sizes, unprojected_trak(case, sizes), strict=True))

    def quality(_ours: Answer, theirs: Answer) -> str:
        found = {size: np.mean(list(map(_correlation, theirs.values.T, w.T))) for size, w in whole.items()}
        return ", ".join(f"{score:.3f} with unprojected of {size:,}" for size, score in found.items())

    with tempfile.TemporaryDirectory() as folder:
        yield from compared(
            f"TRAK, 3 models, {DIMENSIONS} dimensions, {case.name} (>= 5x)",
            {
                "ours": ("torch", lambda: trak_scores(case, DIMENSIONS)),
                f"ours, {MORE_DIMENSIONS:,} dimensions": ("torch", lambda: trak_scores(case, MORE_DIMENSIONS)),
                "traker": ("trak", lambda: peers.traker_scores(case, DIMENSIONS, Path(folder))),
            },
            quality,
        )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(spearmanr(one, other).statistic)


def gpu_question() -> Iterator[Row]:
    """Not measured without a GPU."""
    found = "a GPU is here, but this row has no program yet" if torch.cuda.is_available() else "not measured"
    yield "ResNet-9, 50,000 x 1,000 at 32 x 32, on a GPU", "ours, kronfluence, captum", found, "", ""


QUESTIONS = {
    "tracin": (tracin_question, ("network", "CNN")),
    "ekfac": (ekfac_question, ("network", "CNN")),
    "arnoldi": (arnoldi_question, ("network",)),
    "cg": (cg_question, ("network",)),
    "trak": (trak_question, ("network",)),
}
ALONE = {"memory": memory_question, "gpu": gpu_question}


def rows(words: list[str]) -> Iterator[Row]:
    """Rows of the questions asked, all where none is named; the same of networks."""
    asked = [word for word in words if word in QUESTIONS or word in ALONE] or [*QUESTIONS, *ALONE]
    networks = [word for word in words if word in {"network", "CNN"}] or ["network", "CNN"]
    cases: dict[str, Trained] = {}
    for name in asked:
        if name in ALONE:
            yield from ALONE[name]()
            continue
        question, of = QUESTIONS[name]
        for network in networks:
            if network in of:
                if network not in cases:
                    cases[network] = trained(network)
                yield from question(cases[network])


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(machine("captum", "kronfluence", "dattri", "traker", "pydvl"))
    print_table(["question", "program", "CPU seconds", "times ours", "output, beside ours"], rows(sys.argv[1:]))


if __name__ == "__main__":
    main()
