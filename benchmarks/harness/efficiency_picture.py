"""Errors of many methods as a picture: a panel for each value, the best methods by name, the others in grey."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.efficiency_tables import Errors, log_errors

NAMED_PEERS = 6
HIGHEST = 10.0
"""What errs more than ten times the value's own size is above the picture."""


def drawn_picture(results: dict[str, Errors], games: Sequence[str], multiples: Sequence[int], file: Path) -> None:
    """Ours in black and blue, the best peers in colours, every other method thin and grey."""
    import matplotlib as mpl  # noqa: PLC0415 - only where a picture is asked for

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, len(results), figsize=(6.4 * len(results), 7.8), sharey=True, squeeze=False)
    for axis, (value, errors) in zip(axes[0], results.items(), strict=True):
        for style in _styles({name: np.exp(log_errors(errors, name, games).mean(axis=0)) for name, _ in errors}):
            axis.plot(multiples, style.pop("ydata"), **style)
        axis.set_xscale("log", base=4)
        axis.set_yscale("log")
        axis.set_xticks(multiples, [f"{multiple} n" for multiple in multiples])
        axis.set_ylim(top=HIGHEST)
        axis.set_title(f"{value.capitalize()} values", loc="left", fontweight="bold")
        axis.set_xlabel("different subsets trained")
        axis.spines[["top", "right"]].set_visible(False)
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(
            handles[::-1], labels[::-1], fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.1)
        )
    axes[0, 0].set_ylabel("squared error / squared value, geometric mean over games")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def _styles(means: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """What to draw, the best last: curves by name, mean errors [multiples] each."""
    from matplotlib import colormaps  # noqa: PLC0415

    order = sorted(means, key=lambda name: np.inf if np.isnan(means[name]).any() else float(np.log(means[name]).mean()))
    own = [name for name in order if name.startswith("apportion")]
    peers = [name for name in order if name not in own]
    blues = iter(colormaps["Blues"](np.linspace(0.4, 0.85, max(1, len(own) - 1))))
    colours = iter(colormaps["Set1"]([0, 2, 3, 4, 6, 7]))
    found: list[dict[str, object]] = []
    for name in peers[NAMED_PEERS:]:
        label = f"{len(peers) - NAMED_PEERS} other methods of shapiq and pyDVL" if name == peers[-1] else None
        found.append({"label": label, "ydata": means[name], "color": "0.8", "lw": 0.8})
    found += [
        {"label": name, "ydata": means[name], "color": next(colours), "lw": 1.4, "marker": "."}
        for name in peers[:NAMED_PEERS][::-1]
    ]
    for name in own[::-1]:
        colour = "black" if "default" in name else next(blues)
        found.append({"label": name, "ydata": means[name], "color": colour, "lw": 2.4, "marker": "o", "ms": 4})
    return found
