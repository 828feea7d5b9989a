"""Lists of identities beside the chunks."""

import io

import numpy as np
import pytest
from pyarrow import parquet

from workers.chunk_file import parse_name
from workers.errors import ChunkError
from workers.identity_file import decode_identities, encode_identities, identities_name


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_identities_come_back_in_their_order(n):
    identities = np.random.default_rng(n).integers(0, 256, (n, 16), dtype=np.uint8)
    content = encode_identities(identities, role="test", version="ab12")
    read = decode_identities(content)
    assert (read.role, read.version) == ("test", "ab12")
    assert np.array_equal(read.identities, identities)
    assert content == encode_identities(identities, role="test", version="ab12")
    assert len(parquet.read_table(io.BytesIO(content))["identity"]) == n


def test_their_name_is_no_chunks_and_no_path():
    assert identities_name("train", "ab12") == "identities-train-ab12.parquet"
    assert parse_name(identities_name("train", "0" * 32)) is None
    for version in ("../x", "", "a/b", "é"):
        with pytest.raises(ChunkError):
            identities_name("train", version)


def test_what_is_no_list_of_identities_is_refused():
    whole = encode_identities(np.zeros((9, 16), dtype=np.uint8), role="train", version="a")
    for content in (b"", whole[:-30], b"x" * 100):
        with pytest.raises(ChunkError):
            decode_identities(content)
    with pytest.raises(ChunkError, match="uint8"):
        encode_identities(np.zeros((9, 15), dtype=np.uint8), role="train", version="a")
