"""No piece of 8 or more characters of a token is left, in any escape, encoding or length."""

from __future__ import annotations

import html
import json
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xingtu_crawler.api import pieces
from xingtu_crawler.api.credentials import SANDBOX_TOKEN
from xingtu_crawler.api.endpoints import SEARCH
from xingtu_crawler.api.secrets import MASK, Redactor
from xingtu_crawler.sandbox.options import Config
from xingtu_crawler.sandbox.server import Sandbox

TOKEN = "9f86d081884c7d659a2feaa0c55ad015"
REDACTOR = Redactor([TOKEN])

ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent, every character": lambda text: "".join(f"%{ord(each):02x}" for each in text),
    "percent, upper case": lambda text: "".join(f"%{ord(each):02X}" for each in text),
    "percent, every second": lambda text: "".join(
        each if at % 2 else f"%{ord(each):02X}" for at, each in enumerate(text)
    ),
    "percent twice": lambda text: "".join(f"%25{ord(each):02x}" for each in text),
    "HTML by number": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "HTML by hexadecimal number": lambda text: "".join(f"&#x{ord(each):x};" for each in text),
    "HTML by number, every third": lambda text: "".join(
        each if at % 3 else f"&#{ord(each)};" for at, each in enumerate(text)
    ),
    "HTML of HTML": lambda text: html.escape("".join(f"&#{ord(each)};" for each in text)),
    "JSON by number": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "JSON in JSON by number": lambda text: json.dumps("".join(f"\\u{ord(each):04X}" for each in text)),
    "repr by number": lambda text: "".join(f"\\x{ord(each):02x}" for each in text),
    "percent in JSON by number": lambda text: "".join(f"\\u0025{ord(each):02x}" for each in text),
    "quoted": lambda text: quote(text, safe=""),
}
ENCODINGS = ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize(("start", "end"), [(0, 32), (0, 8), (24, 32), (11, 19), (3, 31), (0, 28)])
def test_a_piece_disappears_from_a_body(escape: str, encoding: str, start: int, end: int) -> None:
    written = ESCAPES[escape](TOKEN[start:end])
    before, after = '{"message":"GET /v1?token=', '… failed 中","data":null}'
    body = REDACTOR.body(f"{before}{written}{after}".encode(encoding))
    text = body.decode(encoding)
    assert text.startswith(before) or escape == "JSON in JSON by number"
    assert text.endswith(after)
    assert MASK in text
    assert len(text) <= len(before) + len(MASK) + len(after) + 2


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_piece_disappears_from_a_text(escape: str) -> None:
    clean = REDACTOR.text(f"cannot reach {ESCAPES[escape](TOKEN[:28])}, sorry 中")
    assert clean.replace('"', "") == f"cannot reach {MASK}, sorry 中"


@pytest.mark.parametrize("length", range(8))
def test_fewer_than_8_characters_are_data(length: int) -> None:
    for at in range(len(TOKEN) - length):
        body = f"<{TOKEN[at : at + length]}>".encode()
        assert REDACTOR.body(body) == body


@given(
    token=st.text(string.ascii_letters + string.digits + "-_.~+/=%&\\\"'<>", min_size=8, max_size=80),
    cut=st.tuples(st.integers(0, 80), st.integers(0, 80)),
    around=st.tuples(st.text("xyz %&\\#;u0", max_size=6), st.text("xyz ;#&\\", max_size=6)),
)
@example(token=TOKEN, cut=(0, 28), around=("%", ";"))
def test_no_piece_of_any_token_is_left(token: str, cut: tuple[int, int], around: tuple[str, str]) -> None:
    text = f"{around[0]}{token[min(cut) : max(cut)]}{around[1]}"
    redactor = Redactor([token])
    for clean in (redactor.text(text), redactor.body(text.encode()).decode()):
        assert not any(token[at : at + 8] in clean for at in range(len(token) - 7))


@given(st.binary(max_size=200))
def test_other_bytes_are_left_as_they_are(body: bytes) -> None:
    assert REDACTOR.body(body) is body


@given(st.text(max_size=60), st.sampled_from(sorted(ESCAPES)), st.sampled_from(ENCODINGS))
def test_escapes_of_other_text_are_left_as_they_are(text: str, escape: str, encoding: str) -> None:
    body = ESCAPES[escape](text.encode(errors="replace").decode()).encode(encoding)
    assert REDACTOR.body(body) == body


@pytest.mark.parametrize("escape", ["plain", "percent twice", "JSON by number"])
@pytest.mark.parametrize("before", [0, -1, -8, -31, -32, -200, 1, 40])
def test_a_piece_disappears_where_a_large_body_is_divided(escape: str, before: int) -> None:
    written = ESCAPES[escape](TOKEN).encode()
    for boundary in (pieces._PART, 2 * pieces._PART):
        body = b"x" * (boundary + before) + written + b"y" * pieces._PART
        assert REDACTOR.body(body) == b"x" * (boundary + before) + MASK.encode() + b"y" * pieces._PART


def test_each_piece_leaves_one_mask() -> None:
    text = f"<{TOKEN[4:20]}> and <{TOKEN}>, <{TOKEN[20:]}>"
    assert REDACTOR.text(text) == f"<{MASK}> and <{MASK}>, <{MASK}>"


def test_pieces_of_each_token_disappear() -> None:
    other = "sk_live_51H8zq"
    text = Redactor([TOKEN, other]).text(f"{TOKEN[:20]}, {other[3:]}")
    assert text == f"{MASK}, {MASK}"


def test_the_token_of_the_sandbox_occurs_in_no_data() -> None:
    config = Config(authors=50)
    sandbox = Sandbox(config)
    redactor = Redactor([SANDBOX_TOKEN])
    for page in range(1, 4):
        answer = sandbox.answers.answer(SEARCH.name, {"page": str(page)}, 0, page)
        assert answer.code == 0
        assert redactor.body(answer.data) is answer.data
