"""Compressed bodies: what they are is judged by their bytes, as servers and proxies label them wrongly.

What is read of a body is bounded, so that a small body cannot fill the memory. The libraries for brotli and zstd are
optional: without them such a body stays as it came.
"""

from __future__ import annotations

import codecs
import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_STEP = 65_536
"""Bytes that go into a decompressor, or come out of it, at once."""
_SAMPLE = 1_000
"""Bytes that show whether a body is text."""
_DEFLATE = {"deflate", "zlib"}
_BROTLI = {"br", "brotli"}


class Plain(NamedTuple):
    """A body after decompression; `is_cut`: it goes on beyond the limit."""

    body: bytes
    is_cut: bool = False


def decompressed(body: bytes, label: str, limit: int) -> Plain:
    """Return a body without its compression, or as it came where it has none or cannot be decompressed.

    Of a body that is damaged in the middle, what comes before the damage is returned.

    Args:
        body: the bytes that came.
        label: the `Content-Encoding` header, "" for none.
        limit: the maximum number of bytes to return; 0 for no limit.
    """
    for decompress in _candidates(body, label):
        plain = _collected(decompress, body, limit)
        # Without a signature of its own, a format is only a guess.
        if plain.body and (body.startswith((_GZIP, _ZSTD)) or _looks_like_text(plain.body)):
            return plain
    return Plain(body)


def _candidates(body: bytes, label: str) -> Iterator[Callable[[bytes], Iterator[bytes]]]:
    """Yield what can decompress a body, the most likely first."""
    labels = {each.strip() for each in label.lower().split(",")}
    if body.startswith(_GZIP):
        yield lambda data: _inflated(data, zlib.MAX_WBITS | 16)
        return
    if body.startswith(_ZSTD):
        yield _zstd
        return
    if _looks_like_text(body):
        return
    if _has_zlib_header(body):
        yield lambda data: _inflated(data, zlib.MAX_WBITS)
    if labels & _DEFLATE:
        yield lambda data: _inflated(data, -zlib.MAX_WBITS)  # some servers leave the zlib header out
    if labels & _BROTLI:
        yield _brotli


def _collected(decompress: Callable[[bytes], Iterator[bytes]], body: bytes, limit: int) -> Plain:
    parts: list[bytes] = []
    size = 0
    try:
        for part in decompress(body):
            parts.append(part)
            size += len(part)
            if 0 < limit < size:
                return Plain(b"".join(parts)[:limit], is_cut=True)
    except Exception:  # noqa: BLE001, S110 - each library has errors of its own, and what came before one counts
        pass
    return Plain(b"".join(parts))


def _inflated(body: bytes, window: int) -> Iterator[bytes]:
    """Yield the parts of a body of one or several streams."""
    while body:
        stream = zlib.decompressobj(window)
        while body and not stream.eof:
            yield stream.decompress(body, _STEP)
            body = stream.unconsumed_tail
        if not stream.eof:
            yield stream.flush()
        body = stream.unused_data
        if not body.startswith(_GZIP):
            return


def _brotli(body: bytes) -> Iterator[bytes]:
    stream: Any = importlib.import_module("brotli").Decompressor()
    part = stream.process(body, output_buffer_limit=_STEP)
    while part:
        yield part
        part = b"" if stream.is_finished() else stream.process(b"", output_buffer_limit=_STEP)


def _zstd(body: bytes) -> Iterator[bytes]:
    try:
        library: Any = importlib.import_module("compression.zstd")
    except ImportError:
        library = importlib.import_module("backports.zstd")
    stream = library.ZstdDecompressor()
    while not stream.eof and (body or not stream.needs_input):
        yield stream.decompress(body, max_length=_STEP)
        body = b""


def _looks_like_text(body: bytes) -> bool:
    """Return whether a body can only be text: JSON or a web page."""
    if body.lstrip()[:1] not in (b"{", b"[", b"<", b""):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body[:_SAMPLE])
    except UnicodeDecodeError:
        return False
    return True


def _has_zlib_header(body: bytes) -> bool:
    """Return whether a body begins as RFC 1950 says, with a byte that is no character of text."""
    return len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0 and not body[1:2].isalnum()
