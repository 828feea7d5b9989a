"""Small but whole report inputs, with chosen texts, for the tests of the report."""

import numpy as np
import pandas as pd

from estimators.influence import Influence, InstanceValues
from orchestrator.report.contents import CampaignFacts, Command, Convergence, FailureFacts, ReportInput
from workers.dataset import Dataset

TAME = "an ordinary text"
N, N_TEST = 40, 15


def influence(value="banzhaf", *, n=N, n_test=N_TEST, error=1.0, strong=0, seed=1, loss="cross_entropy"):
    """Noise with the given standard error; `strong` training instances are far from zero on every test instance."""
    rng = np.random.default_rng(seed)
    values = error * rng.normal(size=(n, n_test))
    values[:strong] += 50.0 * error
    errors, degrees = np.full((n, n_test), error), np.full((n, n_test), 100.0)
    mean = instance_values(value, values.mean(axis=1), error=error, loss=loss)
    return Influence(value, loss, values, errors, degrees, mean, np.arange(n), np.arange(n_test), 100)


def instance_values(value, values, *, error=1.0, loss="cross_entropy"):
    n = len(values)
    return InstanceValues(value, loss, np.asarray(values), np.full(n, error), np.full(n, 100.0), np.arange(n), 100)


def dataset(*, shape=(8,), text=TAME, task="classification", names=True, n=N, n_test=N_TEST):
    rng = np.random.default_rng(2)
    train, test = rng.random((n, *shape)).astype(np.float32), rng.random((n_test, *shape)).astype(np.float32)
    columns = tuple(f"{text} {k}" for k in range(shape[0])) if names and len(shape) == 1 else ()
    if task == "regression":
        return Dataset("regression", train, rng.normal(size=n), test, rng.normal(size=n_test), feature_names=columns)
    labels, test_labels = np.arange(n) % 2, np.arange(n_test) % 2
    classes = (f"{text} zero", f"{text} one")
    return Dataset("classification", train, labels, test, test_labels, classes=classes, feature_names=columns)


def report_input(*, text=TAME, data=None, influences=None, **more):
    """A report with something in every section, every free text being `text`."""
    data = dataset(text=text) if data is None else data
    rng = np.random.default_rng(3)
    known = np.arange(data.n) < 4
    given = {
        "name": text,
        "data": text,
        "learner": text,
        "dataset": data,
        "campaigns": [CampaignFacts(name=text, design=text, planned=100, stored=99, failed=1, seconds=75.0, run=text)],
        "influences": [influence(n=data.n, n_test=data.n_test)] if influences is None else influences,
        "instance_values": [
            instance_values("memorization", rng.normal(size=data.n) + 9.0 * known),
            instance_values("held_out_loss", rng.gamma(1.0, size=data.n)),
        ],
        "train_names": [f"{text} {i}" for i in range(data.n)],
        "test_names": [f"{text} {j}" for j in range(data.n_test)],
        "known_label_errors": known,
        "test_losses": {"cross_entropy": rng.gamma(1.0, size=data.n_test)},
        "convergence": [
            Convergence(
                campaign=text,
                value="banzhaf",
                loss="cross_entropy",
                retrains=[50, 100],
                mean_standard_error=[1.4, 1.0],
                certain_share=[0.0, 0.1],
                rank_stability=[0.2, float("nan")],
            )
        ],
        "failures": [FailureFacts(campaign=text, reason=text, subset=text)],
        "notes": [text],
        "next_commands": [Command(text, text)],
        "replay_commands": [Command(text, text)],
        "versions": {text: text},
        "fingerprints": {text: text},
        "cost": {text: text},
        "finished": text,
        "test_instances": 4,
        "influence_campaigns": [text],
        "instance_value_campaigns": [text, text],
    }
    return ReportInput(**{**given, **more})


def frame(rows, text):
    text = text.encode("utf-8", "replace").decode("utf-8")  # pandas keeps no lone surrogates
    return pd.DataFrame({f"{text} a": [f"{text} {i}" for i in range(rows)], "b": np.linspace(0.0, 1.0, rows)})
