"""JSON as the API writes it, and the values that change with every call.

Rendered bodies are cached with placeholders for the avatar's signature and the time of modification.
"""

from __future__ import annotations

import json
from typing import Any

SIGNATURE_MARK = "@signature@"
MODIFIED_MARK = "@modified@"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def text(value: Any) -> str:
    """Return `value` as compact JSON text, for JSON in strings."""
    return _encode(value)


def body(value: Any) -> bytes:
    """Return `value` as compact JSON in UTF-8."""
    return _encode(value).encode()


def avatar_uri(host: str, fingerprint: int) -> str:
    """Return an avatar's address with a placeholder for its signature; the host is reserved and does not exist."""
    name = f"tos-cn-avt-0015_{fingerprint:016x}{fingerprint ^ 0x5555:016x}"
    return (
        f"https://{host}.example/aweme/1080x1080/aweme-avatar/{name}.jpeg?from=3782654143&x-signature={SIGNATURE_MARK}"
    )


def sign(rendered: bytes, call: int, modified: int) -> bytes:
    """Return the body with the signature of this call and the time `modified` in Unix seconds."""
    rendered = rendered.replace(SIGNATURE_MARK.encode(), b"%016x" % (call * 0x9E3779B97F4A7C15 & (1 << 64) - 1))
    return rendered.replace(MODIFIED_MARK.encode(), b"%d" % modified)
