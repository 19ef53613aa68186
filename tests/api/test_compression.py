"""Bodies are decompressed by what they are, whatever their label says, and never to more than a bound."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.compression import Plain, decompressed

BODY = b'{"code": 0, "data": {"name": "\xe7\xbe\x8e"}}' + b" " * 200_000
LABELS = ["gzip", "deflate", "br", "zstd", "utf-8", "none", "gzip, identity", "GZIP", ""]


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


def brotli(body: bytes) -> bytes:
    library = pytest.importorskip("brotli")
    compressed: bytes = library.compress(body)
    return compressed


def zstd(body: bytes) -> bytes:
    try:
        library = importlib.import_module("compression.zstd")
    except ImportError:
        library = pytest.importorskip("backports.zstd")
    compressed: bytes = library.compress(body)
    return compressed


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstd, bytes])
def test_a_format_with_a_signature_needs_no_label(compress: Callable[[bytes], bytes], label: str) -> None:
    assert decompressed(compress(BODY), label, 0) == Plain(BODY)


@pytest.mark.parametrize(("compress", "label"), [(raw_deflate, "deflate"), (brotli, "br"), (brotli, "gzip, br")])
def test_a_format_without_a_signature_needs_its_label(compress: Callable[[bytes], bytes], label: str) -> None:
    compressed = compress(BODY)
    assert decompressed(compressed, label, 0) == Plain(BODY)
    assert decompressed(compressed, "", 0) == Plain(compressed)


@pytest.mark.parametrize(
    ("compress", "label"),
    [(gzip.compress, ""), (zlib.compress, ""), (raw_deflate, "deflate"), (brotli, "br"), (zstd, "")],
)
def test_no_more_than_the_limit_comes_out(compress: Callable[[bytes], bytes], label: str) -> None:
    compressed = compress(BODY)
    assert decompressed(compressed, label, 1_000) == Plain(BODY[:1_000], is_cut=True)
    assert decompressed(compressed, label, len(BODY)) == Plain(BODY)
    assert decompressed(compressed, label, len(BODY) - 1).is_cut


def test_several_streams_of_gzip_are_one_body() -> None:
    assert decompressed(gzip.compress(BODY) + gzip.compress(b"more"), "gzip", 0).body == BODY + b"more"


def test_of_a_damaged_body_comes_what_is_before_the_damage() -> None:
    compressed = gzip.compress(bytes(range(256)) * 1_000)
    half = decompressed(compressed[: len(compressed) // 2], "gzip", 0).body
    assert half
    assert (bytes(range(256)) * 1_000).startswith(half)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(
    "body", [b"\x1f\x8bno gzip", b"\x28\xb5\x2f\xfdno zstd", b"\x78\x9cno zlib", b"\xff\xfe", b"", b"x"]
)
def test_what_cannot_be_decompressed_stays_as_it_came(body: bytes, label: str) -> None:
    assert decompressed(body, label, 0) == Plain(body)


@given(st.binary(max_size=300), st.sampled_from(LABELS), st.sampled_from([0, 10]))
def test_any_bytes_are_read(body: bytes, label: str, limit: int) -> None:
    assert len(decompressed(body, label, limit).body) <= max(len(body), limit or 10**9)


@given(st.dictionaries(st.text(), st.integers()), st.sampled_from(LABELS))
def test_json_is_never_taken_to_be_compressed(document: dict[str, int], label: str) -> None:
    body = repr(document).encode()
    assert decompressed(body, label, 0) == Plain(body)
