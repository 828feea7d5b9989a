"""Chunk files: what goes in comes out, and whatever is not what was written is found and named."""

import io
import json

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from chunk_examples import changed, example, named, named_example
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from workers.chunk_file import chunk_name, decode, decode_keys, decode_losses, encode, parse_name
from workers.chunk_schema import METADATA_KEY
from workers.errors import ChunkError

LOSS_NAMES = st.lists(
    st.sampled_from(["cross_entropy", "zero_one", "my loss", "é"]), min_size=1, max_size=3, unique=True
)


def same(a, b) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@given(
    count=st.integers(1, 9),
    n=st.integers(1, 40),
    n_test=st.integers(1, 20),
    losses=LOSS_NAMES,
    train=st.booleans(),
    seed=st.integers(0, 2**32),
    reasons=st.lists(st.one_of(st.none(), st.text(max_size=30)), min_size=9, max_size=9),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_what_is_encoded_is_decoded(count, n, n_test, losses, train, seed, reasons):
    head, body = example(
        count,
        n=n,
        n_test=n_test,
        losses=tuple(losses),
        train_losses=tuple(losses) if train else (),
        seed=seed,
        failures=tuple(reasons[:count]),
    )
    name, content = named(head, body)
    read = decode(content, name=name)
    assert read.header == head
    assert read.rows.keys == body.keys
    assert read.rows.failures == body.failures
    for column in ("members", "sizes", "seeds", "replicates", "seconds", "attempts"):
        assert same(getattr(read.rows, column), getattr(body, column)), column
    for losses_read, losses_put in ((read.rows.losses, body.losses), (read.rows.train_losses, body.train_losses)):
        assert {*losses_read} == {*losses_put}
        assert all(np.array_equal(losses_read[each], losses_put[each], equal_nan=True) for each in losses_put)
    assert encode(read.header, read.rows) == content


def test_every_bit_of_a_loss_survives():
    head, body = example(2, n_test=6)
    odd = np.array([[-0.0, 1e-45, 3.4028235e38, -3.4028235e38, 1 / 3, 0.0]] * 2, dtype=np.float32)
    body = changed(body, losses={"cross_entropy": odd})
    assert decode(encode(head, body)).rows.losses["cross_entropy"].tobytes() == odd.tobytes()


def test_the_same_rows_make_the_same_bytes_and_name():
    assert named_example() == named_example()
    assert named_example()[0] != named_example(worker="w1")[0]


def test_the_name_says_chunk_rows_and_content():
    (first, _), (other_facts, _), (other_rows, _) = (
        named_example(),
        named_example(worker="w1"),
        named_example(seed=1),
    )
    parts = [parse_name(name) for name in (first, other_facts, other_rows)]
    assert [part.chunk for part in parts] == [3, 3, 3]
    assert parts[0].rows == parts[1].rows != parts[2].rows
    assert parts[0].content != parts[1].content
    assert first == f"0000003-{parts[0].rows}-{parts[0].content}.parquet"


@pytest.mark.parametrize(
    "name",
    [
        "plan.json",
        "0000001.parquet",
        "000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet",
        "00000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet",
        "0000001-AAAAAAAAAAAA-bbbbbbbbbbbb.parquet",
        "0000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet.tmp",
        ".0000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet",
        "../0000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet",
        "0000001-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet\n",
        "\u0660\u0660\u0660\u0660\u0660\u0660\u0661-aaaaaaaaaaaa-bbbbbbbbbbbb.parquet",
    ],
)
def test_other_names_are_no_chunks(name):
    assert parse_name(name) is None


def test_losses_alone_and_keys_alone_are_those_of_the_whole():
    head, body = example(5, failures=(None, "boom", None, None, None))
    name, content = named(head, body)
    alone = decode_losses(content, "cross_entropy", name=name, with_train=True)
    assert np.array_equal(alone.losses, body.losses["cross_entropy"], equal_nan=True)
    assert np.array_equal(alone.train_losses, body.train_losses["cross_entropy"], equal_nan=True)
    assert np.array_equal(alone.members, body.members)
    assert alone.failed.tolist() == [False, True, False, False, False]
    for source in (content, io.BytesIO(content)):
        keys = decode_keys(source, name=name)
        assert (keys.header, keys.keys, keys.failures) == (head, body.keys, body.failures)
        assert np.array_equal(keys.replicates, body.replicates)
        assert np.array_equal(keys.seconds, body.seconds)


def test_a_failed_row_has_its_reason_its_attempts_and_no_number():
    head, body = example(3, failures=(None, "died: signal 9", None))
    table = parquet.read_table(io.BytesIO(encode(head, body)))
    assert table["failure"].to_pylist() == [None, "died: signal 9", None]
    assert table["loss_cross_entropy"].to_pylist()[1] == [None] * head.n_test
    assert table["train_loss_cross_entropy"].to_pylist()[1] == [None] * head.n
    assert table["loss_cross_entropy"].combine_chunks().flatten().null_count == head.n_test


def opened(content, name):
    try:
        return decode_keys(io.BytesIO(content), name=name)
    except ChunkError:
        return None


def test_two_hundred_flipped_bits_are_all_found():
    name, content = named_example(6, n_test=40)
    whole = decode_keys(content, name=name)
    rng = np.random.default_rng(7)
    unnoticed_on_opening = 0
    for bit in rng.choice(8 * len(content), 200, replace=False):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ChunkError, match=name):
            decode(bytes(damaged), name=name)
        with pytest.raises(ChunkError, match=name):
            decode_losses(bytes(damaged), "cross_entropy", name=name)
        keys = opened(bytes(damaged), name)
        if keys is not None:
            unnoticed_on_opening += 1
            assert keys.keys == whole.keys
            assert keys.failures == whole.failures
            assert keys.replicates.tolist() == whole.replicates.tolist()
    assert 0 < unnoticed_on_opening < 200, "opening reads a part of the file, so it finds a part of the flips"


def test_page_checksums_find_a_flipped_loss_without_a_name():
    _, content = named_example(6, n_test=4000)
    reader = parquet.ParquetFile(io.BytesIO(content))
    place = next(
        column
        for column in (reader.metadata.row_group(0).column(i) for i in range(reader.metadata.num_columns))
        if column.path_in_schema.startswith("loss_")
    )
    damaged = bytearray(content)
    damaged[place.data_page_offset + place.total_compressed_size // 2] ^= 1
    with pytest.raises(ChunkError, match=r"checksum|CRC|crc"):
        decode(bytes(damaged))


def test_twenty_truncations_are_all_found():
    name, content = named_example()
    for length in np.linspace(0, len(content) - 1, 20).astype(int):
        for broken in (lambda cut: decode(cut, name=name), lambda cut: decode_keys(cut, name=name), decode):
            with pytest.raises(ChunkError):
                broken(content[:length])
        with pytest.raises(ChunkError, match=name):
            decode_keys(io.BytesIO(content[:length]), name=name)


def foreign_parquet() -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table({"key": [1, 2]}), stream)
    return stream.getvalue()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all" * 10, foreign_parquet()])
def test_what_is_no_chunk_is_refused_by_name(content):
    name = chunk_name(0, (b"k" * 16,), np.zeros(1, dtype=np.int64), content)
    for read in (decode, decode_keys):
        with pytest.raises(ChunkError, match=name):
            read(content, name=name)


def with_header(content: bytes, **facts) -> bytes:
    table = parquet.read_table(io.BytesIO(content))
    header = json.loads(table.schema.metadata[METADATA_KEY]) | facts
    stream = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(header)}), stream)
    return stream.getvalue()


def test_a_newer_format_is_refused_naming_both_numbers():
    _, content = named_example()
    with pytest.raises(ChunkError, match=r"format 3\b.*up to format 2\b.*install a newer apportion"):
        decode(with_header(content, format_version=3, something_new=True))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"format_version": "1"}, "format version"),
        ({"format_version": 0}, "format version"),
        ({"kind": "models"}, "models"),
        ({"n": 12}, "columns|members"),
        ({"n": "11"}, "wrong kind"),
        ({"n_test": 6}, "columns"),
        ({"n_test": 0}, "impossible"),
        ({"losses": []}, "losses"),
        ({"losses": ["zero_one"]}, "columns"),
        ({"fingerprints": {"train": "a"}}, "facts"),
        ({"unknown": 1}, "facts"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(facts, words):
    _, content = named_example(n=11)
    with pytest.raises(ChunkError, match=words):
        decode(with_header(content, **facts))


def broken_rows(**columns):
    head, body = example(3)
    return head, changed(body, **columns)


NAN = np.full((3, 5), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"losses": {"cross_entropy": NAN}}, "loss 0 is nan"),
        ({"losses": {"cross_entropy": np.full((3, 5), np.inf, dtype=np.float32)}}, "is inf"),
        ({"losses": {"cross_entropy": NAN}, "failures": (None, "x", "y")}, "row 0 is no failure"),
        ({"losses": {"cross_entropy": np.zeros((3, 5))}}, "float64"),
        ({"losses": {"cross_entropy": np.zeros((3, 4), dtype=np.float32)}}, r"\(3, 4\)"),
        ({"losses": {}}, "header says"),
        ({"train_losses": {}}, "header says"),
        ({"keys": (b"a" * 16, b"b" * 16, b"a" * 16)}, "twice"),
        ({"keys": (b"a" * 16, b"b" * 16, b"c" * 15)}, "16 bytes"),
        ({"keys": ()}, "no row"),
        ({"members": np.full((3, 2), 255, dtype=np.uint8)}, "beyond the 11"),
        ({"members": np.zeros((3, 3), dtype=np.uint8)}, "members"),
        ({"members": np.zeros((3, 2), dtype=np.uint8)}, "size"),
        ({"seeds": np.zeros(3)}, "uint64"),
        ({"replicates": np.array([0, -1, 0])}, "replicate"),
        ({"attempts": np.array([1, 1])}, "lengths"),
        ({"failures": ("x",)}, "lengths"),
    ],
)
def test_rows_that_cannot_be_are_not_written(columns, words):
    with pytest.raises(ChunkError, match=words):
        encode(*broken_rows(**columns))


def test_one_subset_may_stand_twice_with_two_replicates():
    head, body = broken_rows(keys=(b"a" * 16, b"b" * 16, b"a" * 16), replicates=np.array([0, 0, 1]))
    assert decode(encode(head, body)).rows.keys == body.keys


def test_side_files_have_the_columns_of_retrains_and_walks_a_writer_of_their_own():
    head, body = example(kind="side")
    assert decode(encode(head, body)).header.kind == "side"
    with pytest.raises(ChunkError, match="walks"):
        encode(*example(kind="walks"))


@pytest.mark.parametrize("limit", ["MOST_ROWS", "MOST_DECODED_BYTES"])
def test_a_file_that_would_fill_the_memory_is_refused_before_its_losses_are_read(limit, monkeypatch):
    name, content = named_example(64)
    monkeypatch.setattr(f"workers.chunk_file.{limit}", 63)
    monkeypatch.setattr(parquet.ParquetFile, "read", lambda *a, **k: pytest.fail("rows were read"))
    with pytest.raises(ChunkError, match="64 rows"):
        decode(content, name=name)


def test_losses_are_split_by_byte_and_compressed_without_a_dictionary():
    _, content = named_example(64, n_test=500)
    group = parquet.ParquetFile(io.BytesIO(content)).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    losses = [column for column in columns if column.path_in_schema.partition(".")[0].endswith("cross_entropy")]
    assert len(losses) == 2
    for column in losses:
        assert "BYTE_STREAM_SPLIT" in column.encodings
        assert not column.has_dictionary_page
        assert column.compression == "ZSTD"
    test = next(column for column in losses if column.path_in_schema.startswith("loss_"))
    assert test.total_compressed_size / (64 * 500) < 3.6, "bytes a loss"


def test_plain_duckdb_reads_a_chunk_and_gives_the_same_means(tmp_path):
    head, body = example(8, n_test=30, failures=(None,) * 7 + ("boom",))
    name, content = named(head, body)
    (tmp_path / name).write_bytes(content)
    question = "select hex(key), size, seed, replicate, failure, list_avg(loss_cross_entropy) from read_parquet(?)"
    with duckdb.connect() as connection:
        answer = connection.execute(question, [str(tmp_path / name)]).fetchall()
    assert [row[0] for row in answer] == [key.hex().upper() for key in body.keys]
    assert [row[1] for row in answer] == body.sizes.tolist()
    assert [row[2] for row in answer] == body.seeds.tolist()
    assert answer[7][4:] == ("boom", None)
    means = body.losses["cross_entropy"][:7].mean(axis=1, dtype=np.float64)
    assert np.allclose([row[5] for row in answer[:7]], means, rtol=1e-12)


def test_plain_pyarrow_reads_documented_columns_and_the_header(tmp_path):
    head, body = example()
    table = parquet.read_table(io.BytesIO(encode(head, body)))
    assert table.column_names == [
        "key",
        "replicate",
        "size",
        "seed",
        "seconds",
        "attempts",
        "failure",
        "members",
        "loss_cross_entropy",
        "train_loss_cross_entropy",
    ]
    facts = json.loads(table.schema.metadata[b"apportion"])
    assert facts["fingerprints"] == {"train": "a1", "test": "b2", "learner": "c3", "code": "d4"}
    assert (facts["format_version"], facts["kind"], facts["together"]) == (1, "retrains", 4)
    losses = table["loss_cross_entropy"].combine_chunks().flatten().to_numpy().reshape(-1, head.n_test)
    assert np.array_equal(losses, body.losses["cross_entropy"])
