"""Who an instance is: a hash of its features, label and weight, whatever file, order or number format they came in."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from estimators.arrays import AnyArray, ByteArray, IntArray

DIGEST_BYTES = 16
_BLOCK = 2048
_NUMBERS_AT_A_TIME = 2**20
_EXACT_IN_FLOAT64 = 2**53


def feature_digests(numbers: AnyArray, texts: Sequence[AnyArray] = ()) -> list[bytes]:
    """A hash (16 bytes) of each row of numbers [rows, ...] and of its text columns [rows].

    Numbers count by value: 1, 1.0 and float32(1) are the same, and so are 0.0 and -0.0.
    """
    digests: list[bytes] = []
    step = max(1, min(_BLOCK, _NUMBERS_AT_A_TIME // max(1, numbers[:1].size)))
    for start in range(0, len(numbers), step):
        rows = _canonical(numbers[start : start + step])
        parts = [_text_bytes(column[start : start + step]) for column in texts]
        for place, row in enumerate(rows):
            hasher = hashlib.blake2b(row.tobytes(), digest_size=DIGEST_BYTES)
            for part in parts:
                hasher.update(part[place])
            digests.append(hasher.digest())
    return digests


def _canonical(block: AnyArray) -> AnyArray:
    flat = block.reshape(len(block), -1)
    if flat.dtype.kind in "iu" and flat.dtype.itemsize == 8 and flat.size:
        largest = max(abs(int(flat.max())), abs(int(flat.min())))
        if largest > _EXACT_IN_FLOAT64:
            return np.ascontiguousarray(flat).astype(flat.dtype.newbyteorder("<"))
    return np.ascontiguousarray(flat.astype("<f8") + 0.0)


def _text_bytes(column: AnyArray) -> list[bytes]:
    """Texts with their length before them, so that no two rows of columns read the same."""
    encoded = [str(value).encode("utf-8", "surrogatepass") for value in column.tolist()]
    return [b"%d:" % len(text) + text for text in encoded]


def contents_of(digests: list[bytes], labels: list[str], weights: AnyArray | None = None) -> list[bytes]:
    """The canonical bytes of each instance, from its features' digest, its label and its weight."""
    encoded = _text_bytes(np.array(labels, dtype=object))
    if weights is None:
        return [digest + label for digest, label in zip(digests, encoded, strict=True)]
    heavy = [repr(weight).encode() for weight in weights.tolist()]
    return [digest + label + b"*" + weight for digest, label, weight in zip(digests, encoded, heavy, strict=True)]


def group_contents(identities: ByteArray, groups: IntArray) -> list[bytes]:
    """The canonical bytes of each group: the sorted identities of its rows."""
    members: dict[int, list[bytes]] = defaultdict(list)
    for group, identity in zip(groups.tolist(), identities, strict=True):
        members[group].append(identity.tobytes())
    return [b"".join(sorted(members[group])) for group in range(len(members))]
