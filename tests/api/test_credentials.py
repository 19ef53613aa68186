"""The tokens of a process: from the variable or the file to a pool."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from xingtu_crawler.api.credentials import SANDBOX_TOKEN, read_pool
from xingtu_crawler.exceptions import TokenError


def secrets(token: str | None = None, file: Path | None = None, *, is_sandbox: bool = False) -> list[str]:
    secret = None if token is None else SecretStr(token)
    return read_pool(secret, file, is_sandbox=is_sandbox, max_rate=None).secrets()


def test_the_variable_and_the_file_hold_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# production\nopen-sesame\nmine:second-secret\n", encoding="utf-8")
    assert secrets("open-sesame,mine:second-secret") == ["open-sesame", "second-secret"]
    assert secrets(file=file) == ["open-sesame", "second-secret"]


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("open-sesame\r\n", encoding="utf-8-sig")
    assert secrets(file=file) == ["open-sesame"]


def test_the_sandbox_needs_no_token_and_accepts_a_short_one() -> None:
    assert secrets(is_sandbox=True) == [SANDBOX_TOKEN]
    assert secrets("x", is_sandbox=True) == ["x"]


def test_the_pool_has_the_maximum_rate() -> None:
    (token,) = read_pool(SecretStr("open-sesame"), None, is_sandbox=False, max_rate=3.0)
    assert token.pace.rate == 3.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No token: set JUSTONEAPI_TOKEN"),
        ("", "is set but empty"),
        (" \n", "is set but empty"),
        ("short", "fewer"),
    ],
)
def test_a_missing_or_short_token_is_one_line(text: str | None, message: str) -> None:
    with pytest.raises(TokenError, match=message) as caught:
        secrets(text)
    assert "\n" not in str(caught.value)
    assert "short" not in str(caught.value)


def test_both_sources_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="both set: keep one"):
        secrets("open-sesame", tmp_path / "tokens")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"cannot read .*tokens \(No such file or directory\)"):
        secrets(file=tmp_path / "tokens")
    (tmp_path / "tokens").write_bytes(b"open\xffsesame")
    with pytest.raises(TokenError, match="not UTF-8 text") as caught:
        secrets(file=tmp_path / "tokens")
    assert "sesame" not in str(caught.value)
