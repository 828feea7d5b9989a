"""How fast is a network of MNIST's size trained on subsets, by two workers on two cores?

784-64-10 on n = 4,000, subsets of 2,800, batches of 128, 3 epochs; K by the pilot that a job runs. Against two
sequential PyTorch processes, the matrix products alone, and peers that are installed (extra `peers`), on two cores.

The limits printed above the table are what a step cannot do without: its products, its batch's rows copied from the
training set once, its parameters read and written once by the optimizer; each is timed alone in the same run.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from harness.network_rivals import opendataval_fit, pydvl_msr
from harness.networks import Setting, Wide, plain_retrain
from harness.processes import Pair
from harness.table import machine, print_table
from harness.timing import Timed, ratio

SGD = Setting(Wide, features=784, n=4000, m=2800, batch=128, epochs=3)
ADAM = dataclasses.replace(SGD, optimizer="adam")
PLAIN, PYDVL = 8, 1


def products(count: int) -> None:
    """The matrix products of `count` retrains side by side, in the layout that ours uses, and nothing else."""
    x, w, v = torch.randn(count, 128, 784), torch.randn(count, 64, 784), torch.randn(count, 10, 64)
    h, z = torch.randn(count, 64, 128), torch.randn(count, 10, 128)
    for _ in range(SGD.steps()):
        torch.bmm(w, x.mT)
        torch.bmm(v, h)
        torch.bmm(z, h.mT)
        torch.bmm(v.mT, z)
        torch.bmm(h, x)


def traffic(setting: Setting, features: torch.Tensor, count: int) -> None:
    """What the steps of `count` retrains move in memory at least: batches out of the training set, and an update."""
    size = 784 * 64 + 64 + 64 * 10 + 10
    parameters, gradients, first, second = (torch.rand(count, size) for _ in range(4))
    rows, batch = torch.randint(len(features), (setting.steps(), count * 128)), torch.empty(count * 128, 784)
    for step in rows:
        torch.index_select(features, 0, step, out=batch)
        if setting.optimizer == "sgd":
            parameters.add_(gradients, alpha=-setting.rate)
        else:
            optimizer_step([parameters], [gradients], [first], [second])


def optimizer_step(*buffers: list[torch.Tensor]) -> None:
    """Adam's in one pass."""
    options = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8}
    torch._fused_adam_(*buffers, [], [torch.tensor(1.0)], **options, amsgrad=False, maximize=False)


def works(together: int) -> dict[str, Callable[[], object]]:
    """What each of the two processes can be asked for."""
    data, learner = SGD.data(), SGD.learner(together)
    count = learner.together * max(1, PLAIN // learner.together)
    adam = ADAM.learner(learner.together)
    members, seeds = SGD.members(max(count, PLAIN)), np.arange(max(count, PLAIN), dtype=np.uint64)
    features, turns = torch.from_numpy(data.train_features), range(count // learner.together)
    found: dict[str, Callable[[], object]] = {
        "plain": lambda: [plain_retrain(SGD, data, members[k], k) for k in range(PLAIN)],
        f"ours {count}": lambda: learner.retrain(members[:count], seeds[:count]),
        f"adam {count}": lambda: adam.retrain(members[:count], seeds[:count]),
        f"products {count}": lambda: [products(learner.together) for _ in turns],
        f"traffic {count}": lambda: [traffic(SGD, features, learner.together) for _ in turns],
        f"adam-traffic {count}": lambda: [traffic(ADAM, features, learner.together) for _ in turns],
    }
    fit, value = opendataval_fit(ADAM, data, members), pydvl_msr(SGD, data)
    if fit is not None:
        found["opendataval"] = lambda: [fit(k) for k in range(PLAIN)]
    if value is not None:
        found["pydvl"] = lambda: value(PYDVL)
    return found


def main() -> None:
    """Time in turn and print."""
    torch.set_num_threads(1)
    learner, choice = SGD.piloted()
    print(f"pilot: {choice.sentence()}; K = {choice.together}")
    with Pair(partial(works, learner.together)) as pair:
        found = pair.in_turn([name for name in pair.names if name != "pydvl"], turns=4)
        fitted = 0
        if "pydvl" in pair.names:
            seconds, fitted = pair.run("pydvl")
            found["pydvl"] = Timed("pydvl", (seconds,))
    counts = {name: int(name.partition(" ")[2] or PLAIN) for name in found} | {"pydvl": fitted}
    print_rows({name.partition(" ")[0]: (timed, counts[name]) for name, timed in found.items()})


def print_rows(found: dict[str, tuple[Timed, int]]) -> None:
    """One table: retrains a second of two processes, and ratios turn by turn."""

    def gain(slow: str, fast: str) -> float:
        return ratio(found[slow][0], found[fast][0]) * found[fast][1] / found[slow][1]

    def rate(name: str) -> str:
        return f"{2 * found[name][1] / found[name][0].median:.1f}"

    flops = SGD.steps() * 2 * 128 * (2 * 784 * 64 + 3 * 64 * 10)
    speed = 2 * found["products"][1] * flops / found["products"][0].median / 1e9
    rows = [
        ("two sequential PyTorch processes", rate("plain"), "1", ""),
        (f"ours, groups of {found['ours'][1]}", rate("ours"), f"{gain('plain', 'ours'):.2f}", ">= 1.5"),
        (
            f"matrix products alone ({speed:.0f} GF/s on two cores)",
            rate("products"),
            f"ours is {gain('products', 'ours'):.0%} of it",
            ">= 70%",
        ),
        ("ours, Adam", rate("adam"), f"{gain('plain', 'adam'):.2f}", ""),
    ]
    if "opendataval" in found:
        row = ("OpenDataVal's fit (Adam)", rate("opendataval"), f"ours is {gain('opendataval', 'adam'):.1f}x", ">= 4x")
    else:
        row = ("OpenDataVal", "not installed", "", ">= 4x")
    rows.append(row)
    if "pydvl" in found:
        ours, theirs = (2 * found[name][1] / found[name][0].median for name in ("ours", "pydvl"))
        rows.append(("pyDVL's MSR Banzhaf", f"{theirs:.2f}", f"ours is {ours / theirs:.0f}x", ">= 60x"))
    else:
        rows.append(("pyDVL's MSR Banzhaf", "not installed", "", ">= 60x"))
    print(machine("opendataval", "pyDVL"))
    print_limits(found, flops)
    print_table(
        ("784-64-10, n = 4,000, m = 2,800, batches of 128, two cores", "retrains/s of free cores", "gain", "to reach"),
        rows,
    )


def print_limits(found: dict[str, tuple[Timed, int]], flops: int) -> None:
    """The roofline of a step, and how near ours comes: products and traffic alone, one after the other."""
    batches = SGD.steps() * 128 * 784 * 4 * 2
    for name, traffic_name, passes in (("ours", "traffic", 3), ("adam", "adam-traffic", 7)):
        moved = batches + SGD.steps() * passes * 4 * (784 * 64 + 64 + 64 * 10 + 10)
        (work, count), (moving, _), (own, _) = found["products"], found[traffic_name], found[name]
        least = (work.median + moving.median) / count
        print(
            f"limit of {name}: {flops / 1e9:.2f} GFLOP of products {work.median / count * 1e3:.1f} ms at their own"
            f" rate, {moved / 1e6:.0f} MB moved {moving.median / count * 1e3:.1f} ms"
            f" ({moved / moving.median * count / 1e9:.0f} GB/s): {2 / least:.1f} retrains/s; reached"
            f" {least * count / own.median:.0%} of it{_of_peer(found, least)}"
        )


def _of_peer(found: dict[str, tuple[Timed, int]], least: float) -> str:
    if "opendataval" not in found:
        return ""
    theirs, count = found["opendataval"]
    return f"; at the limit {theirs.median / count / least:.1f} times OpenDataVal's rate"


if __name__ == "__main__":
    main()
