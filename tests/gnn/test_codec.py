"""Streams, masks and numbers survive their encoding byte for byte."""

import lzma
import math

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gnn.errors import StorageError
from gnn.storage.codec import CODECS, compress, decompress
from gnn.storage.float_bytes import join_floats, split_floats
from gnn.storage.nonzero_mask import decode_mask, encode_mask

QUICK = settings(deadline=None, max_examples=120, derandomize=True)
FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1e-45, -1e-45])


def noise(count: int, values: int = 256) -> bytes:
    return np.random.default_rng(0).integers(values, size=count, dtype=np.uint8).tobytes()


@QUICK
@given(st.binary(max_size=400) | st.binary(max_size=3).map(lambda part: part * 200))
def test_any_bytes_survive_any_codec(content: bytes) -> None:
    for name, codec in CODECS.items():
        assert decompress(name, codec.compress(content), len(content)) == content
    name, blob = compress(content)
    assert decompress(name, blob, len(content)) == content
    assert len(blob) <= len(content)


def test_the_smallest_codec_is_chosen_and_a_slow_one_has_to_be_worth_it() -> None:
    assert compress(noise(1000))[0] == "stored"
    assert compress(noise(1000, values=5))[0] == "zstd"
    # Shares that change on the way are for an adaptive coder.
    for count, most, best in ((400, 60, "lzma"), (150, 20, "zstd")):
        drifting = b"".join(noise(count, values=values) for values in range(2, most))
        sizes = {name: len(codec.compress(drifting)) for name, codec in CODECS.items()}
        assert sizes["lzma"] < sizes["zstd"] < sizes["stored"]
        assert compress(drifting)[0] == best


@pytest.mark.parametrize("codec", CODECS)
def test_more_bytes_than_belong_there_are_refused_before_they_are_made(codec: str) -> None:
    bomb = CODECS[codec].compress(bytes(10**6))
    with pytest.raises(StorageError, match=r"^(has|promises) (\d+|more than the) .*99 .*belong"):
        decompress(codec, bomb, 99)


@pytest.mark.parametrize("codec", ["zstd", "lzma"])
def test_damaged_blobs_are_refused(codec: str) -> None:
    content = noise(500, values=7)
    blob = bytes(CODECS[codec].compress(content))
    for damaged in (blob[:-1], blob[: len(blob) // 2], b"", blob + b"\0", b"\xff" * 30):
        with pytest.raises(StorageError, match=r"^(cannot be decompressed|promises)"):
            decompress(codec, damaged, len(content))


def test_frames_of_other_programs_are_no_streams() -> None:
    for blob in (zstandard.compress(b"a" * 50), lzma.compress(b"a" * 50)):
        for codec in ("zstd", "lzma"):
            with pytest.raises(StorageError):
                decompress(codec, blob, 50)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(StorageError, match=r"^is compressed with 'gzip'; valid are: lzma, stored, zstd$"):
        decompress("gzip", b"", 1)
    with pytest.raises(StorageError, match=r"^is encoded as 'runs'; valid are: bits, gaps$"):
        decode_mask("runs+zstd", b"", 1)


@QUICK
@given(arrays.arrays(np.bool_, st.integers(1, 2000), fill=st.booleans()))
def test_any_mask_survives_in_both_forms(mask: np.ndarray) -> None:
    encoding, blob = encode_mask(mask)
    assert np.array_equal(decode_mask(encoding, blob, len(mask)), mask)


@pytest.mark.parametrize(
    ("share", "form"), [(0.0, "bits"), (0.001, "gaps"), (0.03, "gaps"), (0.1, "gaps"), (0.5, "bits"), (1.0, "bits")]
)
def test_the_smaller_form_of_a_mask_is_chosen(share: float, form: str) -> None:
    mask = np.random.default_rng(0).random(20_000) < share
    encoding, blob = encode_mask(mask)
    assert encoding.startswith(f"{form}+") or not mask.any()
    assert np.array_equal(decode_mask(encoding, blob, len(mask)), mask)
    entropy_bits = sum(-p * math.log2(p) for p in (share, 1 - share) if p > 0)
    assert len(blob) <= 1.06 * 20_000 * entropy_bits / 8 + 30


@pytest.mark.parametrize("gaps", [[0, 254], [255, 1, 0], [255] * 2])
def test_gaps_beyond_the_last_element_are_refused(gaps: list[int]) -> None:
    with pytest.raises(StorageError, match=r"^names element \d+ of 255$"):
        decode_mask("gaps+stored", bytes(gaps), 255)


def test_a_mask_with_too_few_bits_is_refused() -> None:
    with pytest.raises(StorageError, match=r"^has 8 bits for 9 elements$"):
        decode_mask("bits+stored", b"a", 9)


@QUICK
@given(arrays.arrays(np.float32, st.integers(0, 40), elements=FLOATS))
def test_any_number_survives_bit_for_bit(values: np.ndarray) -> None:
    for bits in (values.view(np.uint32), values.view(np.uint16)):
        high, low = split_floats(bits)
        assert (len(high), len(low)) == (len(bits), len(bits) * (bits.itemsize - 1))
        assert np.array_equal(join_floats((high, low), bits.dtype.type), bits)


def test_the_high_byte_of_a_number_is_its_exponent_and_of_fp16_part_of_its_fraction() -> None:
    values = np.array([1.0, -1.0, 1.5, 0.5, -0.25], dtype=np.float32)
    assert list(split_floats(values.view(np.uint32))[0]) == [127, 127, 127, 126, 125]
    halves = values.astype(np.float16)
    assert [byte >> 3 for byte in split_floats(halves.view(np.uint16))[0]] == [15, 15, 15, 14, 13]
