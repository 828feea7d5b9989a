"""Small chunks for tests of the store: `example()` gives header and rows, `put_example` writes them to a store."""

from dataclasses import replace

import numpy as np

from workers.chunk_file import chunk_name, encode
from workers.chunk_types import ChunkHeader, ChunkRows, Fingerprints

PRINTS = Fingerprints(train="a1", test="b2", learner="c3", code="d4")


def header(*, n=11, n_test=5, losses=("cross_entropy",), train_losses=("cross_entropy",), **facts) -> ChunkHeader:
    given = {"campaign": "uniform-1", "chunk": 3, "numeric_class": "numpy 2", "together": 4, "worker": "w0"} | facts
    return ChunkHeader(fingerprints=PRINTS, n=n, n_test=n_test, losses=losses, train_losses=train_losses, **given)


def rows(head: ChunkHeader, count=4, *, seed=0, failures=()) -> ChunkRows:
    rng = np.random.default_rng([seed, head.chunk])
    members = rng.random((count, head.n)) < 0.5
    failed = [reason is not None for reason in failures] or [False] * count

    def losses(length):
        drawn = rng.gamma(1.0, 1.0, (count, length)).astype(np.float32)
        drawn[np.array(failed)] = np.nan
        return drawn

    return ChunkRows(
        keys=tuple(rng.bytes(16) for _ in range(count)),
        members=np.packbits(members, axis=1, bitorder="little"),
        sizes=members.sum(axis=1),
        seeds=rng.integers(0, 2**64, count, dtype=np.uint64),
        replicates=np.zeros(count, dtype=np.int64),
        seconds=rng.random(count).astype(np.float32),
        attempts=np.ones(count, dtype=np.int64),
        losses={name: losses(head.n_test) for name in head.losses},
        train_losses={name: losses(head.n) for name in head.train_losses},
        failures=tuple(failures),
    )


def example(count=4, *, seed=0, failures=(), **facts) -> tuple[ChunkHeader, ChunkRows]:
    head = header(**facts)
    return head, rows(head, count, seed=seed, failures=failures)


def named(head: ChunkHeader, body: ChunkRows) -> tuple[str, bytes]:
    content = encode(head, body)
    return chunk_name(head.chunk, body.keys, body.replicates, content, kind=head.kind), content


def named_example(count=4, **facts) -> tuple[str, bytes]:
    return named(*example(count, **facts))


def put_example(store, count=4, **facts) -> tuple[str, ChunkRows]:
    head, body = example(count, **facts)
    name, content = named(head, body)
    store.put(name, content)
    return name, body


def changed(body: ChunkRows, **columns) -> ChunkRows:
    return replace(body, **columns)
