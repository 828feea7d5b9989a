"""`apportion init`: a job that runs as it stands, and says in comments what to change."""

from pathlib import Path

from orchestrator.errors import JobError

JOB = """\
# What is each training instance worth?   apportion plan job.yaml   says what it costs,
#                                         apportion run job.yaml    carries it out.
name: my-first-job          # names the results in the store
seed: 7                     # the same seed, the same subsets

data:
  # A function that returns X, y, X_test, y_test. Or files instead:
  #   {train: train.npz, test: test.npz}                              arrays X and y
  #   {train: train.parquet, test: test.parquet, label: COLUMN}       .parquet, .csv or .tsv
  train: data.py:load
  # group: COLUMN           # rows of a group (a patient, a source) are valued as one
  # weight: COLUMN          # instance weights
  # id: COLUMN              # names for reports
  image_shape: [8, 8]       # draws rows of features as pictures in the report; leave it out for tables

learner:
  kind: torch               # or logistic_regression, linear_svm, ridge, scikit_learn, gradient_boosting, function
  model: model.py:Net       # any nn.Module class of yours
  epochs: 20
  batch_size: 32
  optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
  losses: [cross_entropy, zero_one]

campaigns:                  # which subsets to train on; `apportion methods` lists designs and values
  - {design: uniform, fraction: 0.7, retrains: 400}
  - {design: bernoulli, probability: 0.5, retrains: 400}

values: [downsampling, banzhaf, memorization]

# Results are kept beside this file; on a cluster, name servers that all its machines reach:
# store:   {tracking_uri: "http://mlflow.example:5000"}
# cluster: {address: "auto"}
# workers: {cpus: 1, gpus: 0}
"""

DATA = '''\
"""Where the data come from: replace this by your own."""

import numpy as np
from sklearn.datasets import load_digits


def load() -> dict[str, np.ndarray]:
    """500 training and 200 test images of handwritten digits, 8 x 8 grey levels from 0 to 1.

    Other keys that may be returned: id, weight, group (one value a training row), image_shape.
    """
    images, digits = load_digits(return_X_y=True)
    X = (images / 16).astype(np.float32)
    return {"X": X[:500], "y": digits[:500], "X_test": X[500:700], "y_test": digits[500:700]}
'''

MODEL = '''\
"""The model: any nn.Module; it is made anew for every subset."""

from torch import Tensor, nn


class Net(nn.Module):
    """64 pixels, 32 hidden units, 10 digits."""

    def __init__(self, hidden: int = 32) -> None:
        """hidden: set it in the job file, `arguments: {hidden: 64}` under `learner`."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [rows, 10] of pixels [rows, 64]."""
        return self.layers(pixels)
'''

FILES = {"job.yaml": JOB, "data.py": DATA, "model.py": MODEL}


def write_starter(folder: Path) -> list[Path]:
    """Write a starter job, its data and its model into a folder, made if need be; returns the paths.

    Raises JobError, with nothing written, where one of the files is there already or the folder cannot be written.
    """
    paths = [folder / name for name in FILES]
    there = [path.name for path in paths if path.exists() or path.is_symlink()]
    if there:
        mend = "choose an empty folder: apportion init my-job"
        raise JobError(f"{', '.join(there)} stand there already and are left as they are", where=str(folder), mend=mend)
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, FILES.values(), strict=True):
            with path.open("x", encoding="utf-8") as stream:
                written.append(path)
                stream.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        mend = "choose a folder that you may write to"
        raise JobError(f"cannot be written: {error.strerror}", where=str(folder), mend=mend) from None
    return written
