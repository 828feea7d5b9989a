"""Subsets of the training set: boolean rows `members [K, n]`, their packed form and their keys.

A subset's key is a hash of its instances' identities, so that it stays valid when the training file is
re-ordered or grows, and changes when a label changes.
"""

import hashlib

import numpy as np

from estimators.arrays import AnyArray, BoolArray, ByteArray, IntArray

KEY_BYTES = 16
IDENTITY_BYTES = 16


def pack(members: BoolArray) -> ByteArray:
    """Pack `members [K, n]` bool into `[K, ceil(n/8)]` uint8, little bit order (equals `np.packbits`)."""
    return np.packbits(members, axis=1, bitorder="little")


def unpack(packed: ByteArray, n: int) -> BoolArray:
    """Unpack `[K, ceil(n/8)]` uint8 into `members [K, n]` bool; the inverse of `pack`."""
    return np.unpackbits(packed, axis=1, count=n, bitorder="little").astype(np.bool_)


def instance_identities(contents: list[bytes]) -> ByteArray:
    """Identities `[n, 16]` uint8 of instances given as their canonical bytes.

    Exact copies are told apart by their place among the copies, so that n instances have n identities
    whatever the order of the others.
    """
    seen: dict[bytes, int] = {}
    digests = bytearray()
    for content in contents:
        place = seen.get(content, 0)
        seen[content] = place + 1
        hasher = hashlib.blake2b(content, digest_size=IDENTITY_BYTES)
        hasher.update(b"#%d" % place)
        digests += hasher.digest()
    return np.frombuffer(bytes(digests), dtype=np.uint8).reshape(len(contents), IDENTITY_BYTES)


def identity_order(identities: ByteArray) -> IntArray:
    """Positions `[n]` int64 that sort instances by identity: the order in which learners see members."""
    flat = np.ascontiguousarray(identities).view(f"V{IDENTITY_BYTES}").ravel()
    return np.array(sorted(range(len(flat)), key=lambda i: flat[i].tobytes()), dtype=np.int64)


def subset_keys(members: BoolArray, identities: ByteArray, order: IntArray | None = None) -> list[bytes]:
    """Keys (16 bytes each) of `members [K, n]`: a hash of the members' sorted identities.

    `order` may carry `identity_order(identities)` where many calls share it.
    """
    if order is None:
        order = identity_order(identities)
    ordered_identities: AnyArray = identities[order]
    ordered_members = members[:, order]
    return [
        hashlib.blake2b(ordered_identities[row].tobytes(), digest_size=KEY_BYTES).digest() for row in ordered_members
    ]
