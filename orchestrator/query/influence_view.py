"""The view of values, `influence`, from retrains and from gradients, and `gradients`, what their solvers say."""

from collections.abc import Iterator, Sequence
from functools import cache, partial

import numpy as np
import pyarrow as pa
from pyarrow import dataset as ds

from estimators.arrays import AnyArray
from estimators.gradient.registry import gradient_method
from estimators.influence import Influence, InstanceValues
from orchestrator.campaign import Campaign
from orchestrator.errors import ApportionError
from orchestrator.gradients.identity import gradient_store
from orchestrator.gradients.reading import whole_values
from orchestrator.gradients.values import GradientValues
from orchestrator.keeping.staleness import rows_used
from orchestrator.query.lazy_dataset import ROWS_A_BATCH, LazyTable, Piece, Say
from orchestrator.results import StoredJob, read_campaign
from workers.gradient_specs import GradientSpec

INFLUENCE = pa.schema(
    [
        ("value", pa.string()),
        ("campaign", pa.string()),
        ("loss", pa.string()),
        ("train_index", pa.int32()),
        ("test_index", pa.int32()),
        ("influence", pa.float64()),
        ("standard_error", pa.float64()),
        ("rows", pa.string()),
    ]
)

FACTS = ("damping", "residual", "tolerance", "stationarity")


def influence_table(stored: StoredJob, say: Say) -> LazyTable:
    """One row a value, campaign, loss and pair; a value is computed when a question first needs it.

    A value that is one number an instance, and each data value, has no test_index; a gradient method's has no campaign.
    rows: a hash of the rows that it was computed from, by which an answer that was kept is known to be stale.
    """
    return LazyTable("influence", INFLUENCE, partial(_influence_pieces, stored, say), say)


def _influence_pieces(stored: StoredJob, say: Say) -> Sequence[Piece]:
    pieces = []
    for run in stored.runs_of_job:
        try:
            campaign = read_campaign(stored.loaded, stored.store, run)
        except ApportionError as error:
            say(f"note: {run.name} has no influence yet: {error.problems[0].what}")
            continue
        for value in campaign.value_names:
            for loss in campaign.losses:
                held = ds.field("value") == value
                held = held & (ds.field("campaign") == campaign.name) & (ds.field("loss") == loss)
                rows = stored.store.n * (stored.store.n_test + 1)
                pieces.append(Piece(held, rows, partial(_of_campaign, campaign, value, loss)))
    for spec in stored.job.gradients:
        for value in (spec.label, f"{spec.label} self-influence"):
            held = (ds.field("value") == value) & ds.field("campaign").is_null()
            rows = stored.store.n * (stored.store.n_test + 1)
            pieces.append(Piece(held, rows, partial(_of_gradients, stored, spec, value, say)))
    return pieces


def _of_campaign(campaign: Campaign, value: str, loss: str) -> Iterator[pa.RecordBatch]:
    yield from _batches(_computed(campaign, value, loss), campaign.name, _rows_of(campaign))


def _of_gradients(stored: StoredJob, spec: GradientSpec, value: str, say: Say) -> Iterator[pa.RecordBatch]:
    found = _gradients(stored, spec)
    if found is None:
        if value == spec.label:
            say(f"note: the values of {spec.label} are not whole in the store yet")
        return
    own = found.self_influence
    if own is not None and own.value == value:
        yield from _batches(own, None)
    if value != spec.label:
        return
    if (chosen := found.influence or found.mean) is not None:
        yield from _batches(chosen, None)
    for top in (found.proponents, found.opponents):
        if top is not None:
            count, n_test = top.values.shape
            places = np.repeat(np.arange(n_test), count)
            yield _batch(
                (value, None, found.loss, None),
                top.indices.T.ravel(),
                places,
                top.values.T.ravel(),
                np.full(len(places), np.nan),
            )


def _gradients(stored: StoredJob, spec: GradientSpec) -> GradientValues | None:
    return whole_values(stored.prepared, spec, gradient_store(stored.tracker, stored.parent))


def gradients_table(stored: StoredJob) -> pa.Table:
    """One row an entry of the job's `gradients`: what it estimates, and what its solver said. Null where not known."""
    rows = []
    for spec in stored.job.gradients:
        found = _gradients(stored, spec)
        facts = {} if found is None else found.facts
        rows.append(
            {
                "value": spec.label,
                "method": spec.method,
                "gives": spec.given,
                "scale": gradient_method(spec.method).scale,
                "whole": found is not None,
                "loss": None if found is None else found.loss,
                **{name: facts.get(name) for name in FACTS},
                "warnings": [] if found is None else list(found.warnings),
                "notes": [] if found is None else list(found.notes),
            }
        )
    texts = dict.fromkeys(("value", "method", "gives", "scale"), pa.string())
    kinds = texts | {"whole": pa.bool_(), "loss": pa.string()} | dict.fromkeys(FACTS, pa.float64())
    kinds |= dict.fromkeys(("warnings", "notes"), pa.list_(pa.string()))
    return pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))


def _batches(
    found: Influence | InstanceValues, campaign: str | None, used: str | None = None
) -> Iterator[pa.RecordBatch]:
    named = (found.value, campaign, found.loss, used)
    data = found.data_values() if isinstance(found, Influence) else found
    yield _batch(named, data.train_index, None, data.values, data.standard_errors)
    if isinstance(found, Influence):
        step = max(1, ROWS_A_BATCH // len(found.test_index))
        for start in range(0, len(found.train_index), step):
            train = found.train_index[start : start + step]
            yield _batch(
                named,
                np.repeat(train, len(found.test_index)),
                np.tile(found.test_index, len(train)),
                found.values[start : start + step].ravel(),
                found.standard_errors[start : start + step].ravel(),
            )


@cache
def _rows_of(campaign: Campaign) -> str:
    return rows_used(campaign)


@cache
def _computed(campaign: Campaign, value: str, loss: str) -> Influence | InstanceValues:
    return campaign.values(value, loss=loss)


def _batch(
    named: tuple[str, str | None, str, str | None],
    train: AnyArray,
    test: AnyArray | None,
    values: AnyArray,
    errors: AnyArray,
) -> pa.RecordBatch:
    rows = len(train)
    *texts, used = [pa.repeat(pa.scalar(text, pa.string()), rows) for text in named]
    columns = texts
    columns += [pa.array(train.astype(np.int32))]
    columns += [pa.nulls(rows, pa.int32()) if test is None else pa.array(test.astype(np.int32))]
    columns += [pa.array(values), pa.array(errors), used]
    return pa.RecordBatch.from_arrays(columns, schema=INFLUENCE)
