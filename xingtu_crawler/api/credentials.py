"""The tokens of a process: from the environment variable or the file to a pool. Knows nothing of settings' names."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.exceptions import TokenError

SANDBOX_TOKEN = "sbx-4t8q1z7w0k5y2v9j"  # noqa: S105 - sent to a sandbox if none is set; occurs in no data and no log line

_SHORTEST = 8
"""The minimum number of characters of a token outside the sandbox: a shorter one was cut when it was copied."""


def read_pool(token: SecretStr | None, file: Path | None, *, is_sandbox: bool, max_rate: float | None) -> TokenPool:
    """Return a pool of the tokens in `token` or `file`.

    Args:
        token: the text of JUSTONEAPI_TOKEN, None if it is not set.
        file: the path in JUSTONEAPI_TOKEN_FILE, None if it is not set.
        is_sandbox: whether they are for a sandbox, which accepts any token.
        max_rate: the maximum number of calls per second of each token, None for no limit.

    Raises:
        TokenError: there is no token, the file cannot be read, or a token cannot be one.
    """
    if token is not None and file is not None:
        raise TokenError("JUSTONEAPI_TOKEN and JUSTONEAPI_TOKEN_FILE are both set: keep one of them.")
    source, text = "JUSTONEAPI_TOKEN", ""
    if token is not None:
        text = token.get_secret_value()
    elif file is not None:
        source, text = f"JUSTONEAPI_TOKEN_FILE ({file})", _content(file)
    elif is_sandbox:
        text = SANDBOX_TOKEN
    else:
        raise TokenError(
            "No token: set JUSTONEAPI_TOKEN (or JUSTONEAPI_TOKEN_FILE), or try the offline sandbox with "
            "JUSTONEAPI_ENV=sandbox."
        )
    if not text.strip():
        raise TokenError(f"{source} is set but empty: put your Just One API token there.")
    pool = TokenPool.from_text(text, max_rate=max_rate)
    if not is_sandbox and any(len(each) < _SHORTEST for each in pool.secrets()):
        raise TokenError(f"{source} holds a token of fewer than {_SHORTEST} characters: copy the whole token again.")
    return pool


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise TokenError(f"JUSTONEAPI_TOKEN_FILE: cannot read {file} ({reason}).") from None
