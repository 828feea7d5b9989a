"""How others train a network on many subsets: OpenDataVal's own fitting, pyDVL's MSR Banzhaf."""

import importlib.util
import sys
import warnings
from collections.abc import Callable
from unittest.mock import MagicMock

import numpy as np
import torch

from harness.networks import Setting, plain_retrain
from workers.dataset import Dataset

UNUSED = {
    "torchvision": (
        "torchvision",
        *(f"torchvision.{name}" for name in ("transforms", "transforms.functional", "datasets", "models")),
    ),
    "transformers": ("transformers",),
}


def opendataval_fit(setting: Setting, data: Dataset, members: np.ndarray) -> Callable[[int], None] | None:
    """OpenDataVal's `fit` (Adam, a DataLoader) of the setting's network on subset k; None where it is not installed.

    Its imports of image and text libraries, which nothing here uses, find stand-ins where these are absent.
    """
    if importlib.util.find_spec("opendataval") is None:
        return None
    for package, names in UNUSED.items():
        if importlib.util.find_spec(package) is None:
            for name in names:
                sys.modules.setdefault(name, MagicMock())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opendataval.model.api import TorchClassMixin, TorchPredictMixin  # noqa: PLC0415 - a peer

    class Theirs(TorchClassMixin, TorchPredictMixin, setting.model):  # type: ignore[misc, name-defined]
        num_classes = 10

    features = torch.from_numpy(data.train_features)
    labels = torch.nn.functional.one_hot(torch.from_numpy(data.train_labels), 10).float()

    def fit(k: int) -> None:
        rows = torch.from_numpy(np.flatnonzero(members[k]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Theirs().fit(features[rows], labels[rows], batch_size=setting.batch, epochs=setting.epochs, lr=setting.rate)

    return fit


def pydvl_msr(setting: Setting, data: Dataset) -> Callable[[int], None] | None:
    """PyDVL's maximum-sample-reuse Banzhaf values from so many retrains of a plain loop; None where not installed."""
    if importlib.util.find_spec("pydvl") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydvl.valuation import Dataset as Theirs  # noqa: PLC0415 - a peer
        from pydvl.valuation import ModelUtility, MSRBanzhafValuation, SupervisedScorer  # noqa: PLC0415
        from pydvl.valuation.stopping import MaxUpdates  # noqa: PLC0415

    class Loop:
        fits = 0

        def fit(self, x: np.ndarray, y: np.ndarray | None) -> "Loop":
            Loop.fits += 1
            part = Dataset("classification", x, y, data.test_features, data.test_labels, data.classes)
            self.loss = plain_retrain(setting, part, np.ones(len(x), dtype=bool), 0).mean()
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.zeros(len(x))

        def score(self, x: np.ndarray, y: np.ndarray | None) -> float:  # noqa: ARG002 - its signature
            return -float(self.loss)

    def value(retrains: int) -> int:
        before = Loop.fits
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train = Theirs(data.train_features, data.train_labels)
            test = Theirs(data.test_features, data.test_labels)
            utility = ModelUtility(Loop(), SupervisedScorer(Loop(), test, default=0.0))
            # a sample of MSR updates every instance once
            stop = MaxUpdates(retrains)
            MSRBanzhafValuation(utility, stop, seed=0, progress=False).fit(train)
        return Loop.fits - before

    return value
