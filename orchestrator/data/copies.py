"""Copies: test instances that are training instances too, and equal features under different labels."""

from collections import defaultdict

from orchestrator.errors import JobError
from orchestrator.jobs.job import Job
from orchestrator.wording import counted


def notes_on_copies(
    train: list[bytes], train_labels: list[str], test: list[bytes], test_labels: list[str], job: Job
) -> tuple[str, ...]:
    """What to know about copies, by feature digests and labels; raises JobError where train and test overlap.

    An instance is its features and its label; equal features under another label are noted, not refused.
    """
    places: dict[bytes, dict[str, int]] = defaultdict(dict)
    for row, (digest, label) in enumerate(zip(train, train_labels, strict=True)):
        places[digest].setdefault(label, row)
    pairs = [
        (row, places[digest][label])
        for row, (digest, label) in enumerate(zip(test, test_labels, strict=True))
        if label in places.get(digest, {})
    ]
    if pairs and job.data.overlap == "refuse":
        raise _overlap(pairs, job)
    alike = sum(digest in places for digest in test)
    conflicting = sum(len(places[digest]) > 1 for digest in train)
    notes = [f"{counted(len(pairs), 'test instance')} stand in the training set too (`overlap: allow`)"] * bool(pairs)
    if alike > len(pairs):
        others = counted(alike - len(pairs), "test instance")
        notes.append(f"{others} have the features of a training instance with another label")
    if conflicting:
        notes.append(f"{counted(conflicting, 'training instance')} share their features with one of another label")
    return tuple(notes)


def _overlap(pairs: list[tuple[int, int]], job: Job) -> JobError:
    first = ", ".join(f"test row {row} = training row {place}" for row, place in pairs[:3])
    what = f"{counted(len(pairs), 'test instance')} stand in the training set too, first {first} (rows from 0)"
    mend = "take them out of one of the two, or set `overlap: allow` in data"
    return JobError(what, where=job.origin.where("data"), mend=mend)
