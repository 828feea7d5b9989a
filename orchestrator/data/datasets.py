"""Job -> checked data: what learners see, who every instance is, and what reports show of it."""

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from estimators.arrays import AnyArray, BoolArray, ByteArray, IntArray
from estimators.designs.parameters import Material
from estimators.subsets import identity_order, instance_identities
from orchestrator.data.aside import Groups, SideArrays, side_arrays
from orchestrator.data.copies import notes_on_copies
from orchestrator.data.design_material import design_material
from orchestrator.data.features import Features, encode_features
from orchestrator.data.identities import contents_of, feature_digests, group_contents
from orchestrator.data.labels import Labels, encode_labels
from orchestrator.data.parts import RawData
from orchestrator.data.sources import read_raw
from orchestrator.data.validation import validation_set
from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.wording import masked
from workers.dataset import Dataset

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Source:
    """Where a set came from: the path or function as the job writes it, a digest of its content, rows and columns."""

    name: str
    digest: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class LoadedData:
    """Data of a job, checked.

    train_identities: [n, 16] of the players (groups where there are groups); test_identities: [n_test, 16].
    train_names: [rows] and test_names: [n_test], for people; empty where the job names none. train_frame,
    test_frame: the original tables. known_label_errors: [n] bool. notes: what a person should know. material: what
    designs need of the data. test_groups: codes [n_test] and names of groups to average values over.
    """

    dataset: Dataset
    train_identities: ByteArray
    test_identities: ByteArray
    train_source: Source
    test_source: Source
    train_names: tuple[str, ...] = ()
    test_names: tuple[str, ...] = ()
    train_frame: "pd.DataFrame | None" = None
    test_frame: "pd.DataFrame | None" = None
    known_label_errors: BoolArray | None = None
    image_shape: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    material: Material = field(default_factory=Material)
    test_groups: Groups | None = None


def load_data(job: Job) -> LoadedData:
    """Read and check a job's data. Raises JobError (exit code 2) naming everything that is wrong with it."""
    raw = read_raw(job)
    _refuse_lengths(raw)
    features, labels = _encoded(raw, job)
    aside = side_arrays(raw, job)
    digests = feature_digests(features.train[:, : features.numeric], features.train_texts)
    test_digests = feature_digests(features.test[:, : features.numeric], features.test_texts)
    train_texts, test_texts = labels.texts(labels.train), labels.texts(labels.test)
    notes = notes_on_copies(digests, train_texts, test_digests, test_texts, job)
    identities = instance_identities(contents_of(digests, train_texts, aside.weights))
    test_identities = instance_identities(contents_of(test_digests, test_texts))
    players = identities if aside.groups is None else instance_identities(group_contents(identities, aside.groups))
    held = validation_set(job, raw.train, labels)
    dataset = _dataset(features, labels, aside, identity_order(identities), held)
    return LoadedData(
        dataset=dataset,
        train_identities=players,
        test_identities=test_identities,
        train_source=_source(job.data.train, identities, features.train),
        test_source=_source(job.data.test or job.data.train, test_identities, features.test),
        train_names=aside.train_names,
        test_names=aside.test_names,
        train_frame=raw.train.frame,
        test_frame=raw.test.frame,
        known_label_errors=_of_players(aside.known_label_errors, aside.groups),
        image_shape=_image_shape(raw, features, job),
        notes=(*features.notes, *labels.notes, *notes),
        material=design_material(job, dataset, aside.left_out),
        test_groups=aside.test_groups,
    )


def _refuse_lengths(raw: RawData) -> None:
    """Raises JobError where features and labels differ in rows, or where there are too few."""
    problems = []
    for part, least, name in ((raw.train, 2, "training"), (raw.test, 1, "test")):
        if len(part.features) != part.rows:
            what = f"{len(part.features):,} rows of features, but {part.rows:,} labels"
            problems.append(Problem(what, part.source, "give each row of X one label"))
        elif part.rows < least:
            what = f"{part.rows} {name} instances, expected at least {least}"
            problems.append(Problem(what, part.source, "give more rows"))
    if problems:
        raise JobError(problems)


def _encoded(raw: RawData, job: Job) -> tuple[Features, Labels]:
    """Features and labels, with the problems of both in one error."""
    problems: list[Problem] = []
    features = labels = None
    try:
        features = encode_features(raw.train, raw.test)
    except JobError as error:
        problems += error.problems
    try:
        labels = encode_labels(raw.train, raw.test, job)
    except JobError as error:
        problems += error.problems
    if features is None or labels is None:
        raise JobError(problems)
    return features, labels


def _dataset(
    features: Features,
    labels: Labels,
    aside: SideArrays,
    order: IntArray,
    held: tuple[AnyArray, AnyArray] | None,
) -> Dataset:
    return Dataset(
        task=labels.task,
        train_features=features.train,
        train_labels=labels.train,
        test_features=features.test,
        test_labels=labels.test,
        classes=labels.classes,
        weights=aside.weights,
        groups=aside.groups,
        group_names=aside.group_names,
        feature_names=features.names,
        order=order,
        validation_features=None if held is None else held[0],
        validation_labels=None if held is None else held[1],
    )


def _source(name: str, identities: ByteArray, features: AnyArray) -> Source:
    digest = hashlib.blake2b(identities.tobytes(), digest_size=16).hexdigest()
    return Source(masked(name), digest, len(identities), math.prod(features.shape[1:]))


def _of_players(errors: BoolArray | None, groups: IntArray | None) -> BoolArray | None:
    """Known label errors [n] of players: a group has one where any of its rows has."""
    if errors is None or groups is None:
        return errors
    return np.bincount(groups, weights=errors) > 0


def _image_shape(raw: RawData, features: Features, job: Job) -> tuple[int, ...] | None:
    shape, columns = raw.image_shape or job.data.image_shape, math.prod(features.train.shape[1:])
    if shape is not None and math.prod(shape) != columns:
        what = f"{list(shape)} holds {math.prod(shape):,} numbers, but a row of features has {columns:,}"
        raise JobError(what, where=job.origin.where("data", "image_shape"), mend="for example `image_shape: [28, 28]`")
    return shape
