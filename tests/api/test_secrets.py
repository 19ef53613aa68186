"""Redaction of tokens in texts and response bodies, in every spelling."""

from __future__ import annotations

import html
import json
import re
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from w3lib.url import canonicalize_url, safe_url_string

from xingtu_crawler.api.secrets import MASK, Redactor, fingerprint

AWKWARD = [
    "tok-EN_123~x.y",
    "0123456789abcdef0123456789abcdef",
    "c2VjcmV0K3Nlc2FtZQ==",  # base64
    "a+%/&= \"x'",
    "中文token",
    "🔑open",
    "a.b*c[d]{2}(e)|^f$?\\g+",
    "it's",
    "q\"q'q",
    "<b>&amp;</b>",
    "back\\slash\\",
    "%2B%25",
    "\\u0041\\n",
    "***",
    "a" * 500,
    "..",
]
# No asterisk: it could not be distinguished from the mask.
TOKENS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="*"), min_size=4)


LETTERS_AND_DIGITS = string.ascii_letters + string.digits


def html_by_number(token: str) -> str:
    return "".join(each if each in LETTERS_AND_DIGITS else f"&#{ord(each)};" for each in token)


def html_by_hex_number(token: str) -> str:
    return "".join(each if each in LETTERS_AND_DIGITS else f"&#x{ord(each):X};" for each in token)


def json_for_html(token: str) -> str:
    """Escape as Gson and other libraries do that make JSON safe inside HTML."""
    written = json.dumps(token, ensure_ascii=False)[1:-1]
    return "".join(f"\\u{ord(each):04x}" if each in "<>&='" else each for each in written)


def upper_case_escapes(token: str) -> str:
    written = json.dumps(token)[1:-1]
    parts = written.split("\\u")
    return parts[0] + "".join(f"\\u{part[:4].upper()}{part[4:]}" for part in parts[1:])


def repeated(write: Callable[[str], str], times: int) -> Callable[[str], str]:
    """Return a function that escapes a text, the result, and so on."""

    def spell(token: str) -> str:
        for _ in range(times):
            token = write(token)
        return token

    return spell


def quote_all(token: str) -> str:
    return quote(token, safe="")


def lower_case_percents(token: str) -> str:
    return re.sub("%..", lambda escape: escape[0].lower(), quote(token, safe=""))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a sentence": lambda token: f"the token {token} was used",
    "twice": lambda token: f"{token}{token}",
    "quoted": quote_all,
    "quoted, slash kept": quote,
    "quoted, much kept": lambda token: quote(token, safe="/:=&+"),
    "quoted, lower case": lower_case_percents,
    "quoted with a plus": quote_plus,
    "quoted twice": repeated(quote_all, 2),
    "quoted three times": repeated(quote_all, 3),
    "in a query": lambda token: f"https://api.example.com/v1?page=2&{urlencode({'key': token})}&x=1",
    "in a safe URL": lambda token: safe_url_string(f"https://api.example.com/v1?key={quote(token, safe='')}"),
    "in a canonical URL": lambda token: canonicalize_url(f"https://api.example.com/v1?key={quote(token, safe='')}&a=1"),
    "JSON": lambda token: json.dumps({"echo": [token]}),
    "JSON, readable": lambda token: json.dumps({"echo": token}, ensure_ascii=False),
    "JSON, slashes escaped": lambda token: json.dumps(token).replace("/", "\\/"),
    "JSON, upper case": upper_case_escapes,
    "JSON in JSON": lambda token: json.dumps(json.dumps({"echo": token})),
    "JSON three times": repeated(json.dumps, 3),
    "JSON for HTML": json_for_html,
    "HTML": html.escape,
    "HTML twice": repeated(html.escape, 2),
    "HTML three times": repeated(html.escape, 3),
    "HTML by number, twice": lambda token: html.escape(html_by_number(token)),
    "HTML, quotes kept": lambda token: html.escape(token, quote=False),
    "HTML by number": html_by_number,
    "HTML by hexadecimal number": html_by_hex_number,
    "HTML, another apostrophe": lambda token: html.escape(token).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "repr": repr,
    "repr of a list": lambda token: repr([{"key": token}]),
    "repr of bytes": lambda token: repr(token.encode()),
    "repr of bytes, three times": lambda token: repr(repr(repr(token.encode()))),
    "repr of a sentence": lambda token: repr(f'"isn\'t" {token}'),
    "repr of a repr": lambda token: repr(repr(f'"isn\'t" {token}')),
    "repr three times": lambda token: repr(repr(repr(f'"isn\'t" {token}'))),
    "ascii three times": repeated(ascii, 3),
    "ascii": ascii,
    "in the wrong encoding": lambda token: token.encode().decode("latin-1"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("token", [token for token in AWKWARD if "*" not in token])
def test_a_token_disappears_in_every_spelling(token: str, spelling: str) -> None:
    written = SPELLINGS[spelling](token)
    redactor = Redactor([token])
    clean = redactor.text(written)
    assert without_quotes(clean) == without_quotes(SPELLINGS[spelling]("TOKEN").replace("TOKEN", MASK))
    assert redactor.body(written.encode()).decode() == clean


def without_quotes(text: str) -> str:
    """Remove quotes and backslashes, which Python and JSON add depending on the text."""
    return re.sub(r"[\"'\\]", "", text)


@pytest.mark.parametrize("token", [token for token in AWKWARD if "*" not in token])
def test_the_text_around_a_token_stays(token: str) -> None:
    redactor = Redactor([token])
    assert redactor.text(f"before ({token}) after") == f"before ({MASK}) after"
    assert redactor.body(f'{{"echo":"{token}","名":"值"}}'.encode()) == f'{{"echo":"{MASK}","名":"值"}}'.encode()


@given(TOKENS, st.sampled_from(sorted(SPELLINGS)))
@example("%25", "quoted twice")
@example("\\\\\\\\", "repr of a repr")
def test_any_token_disappears(token: str, spelling: str) -> None:
    redactor = Redactor([token])
    written = SPELLINGS[spelling](token)
    assert MASK in redactor.text(written)
    assert MASK.encode() in redactor.body(written.encode())
    assert token not in redactor.text(f"<{token}>")


@given(st.lists(TOKENS, min_size=1, max_size=4), st.text(max_size=10))
def test_several_tokens_disappear(tokens: list[str], between: str) -> None:
    redactor = Redactor(tokens)
    clean = redactor.text("\n".join(tokens))
    assert all(token not in clean for token in tokens)


def test_nothing_is_left_of_a_token_that_contains_another() -> None:
    redactor = Redactor(["sesame", "open-sesame-please", "open-sesame"])
    assert redactor.text("open-sesame-please, open-sesame, sesame") == f"{MASK}, {MASK}, {MASK}"


@given(st.text(max_size=40))
def test_a_text_without_a_token_stays_as_it_is(text: str) -> None:
    redactor = Redactor(["open-sesame/1+2="])
    if "token=" not in text.lower():
        assert redactor.text(text) == text
    assert redactor.body(text.encode()) == text.encode()


@given(st.binary(max_size=60))
def test_a_binary_body_without_a_token_stays_as_it_is(body: bytes) -> None:
    assert Redactor(["open-sesame", "中文token"]).body(body) == body


def test_a_token_in_a_binary_body_disappears() -> None:
    assert Redactor(["open-sesame"]).body(b"\xff\xfe\x00open-sesame\x80") == b"\xff\xfe\x00***\x80"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET /v1?token=whatever&page=2", f"GET /v1?token={MASK}&page=2"),
        ("GET /v1?page=2&token=whatever HTTP/1.1", f"GET /v1?page=2&token={MASK} HTTP/1.1"),
        ("<a href='/v1?TOKEN=whatever'>", f"<a href='/v1?TOKEN={MASK}'>"),
        ('"Token=whatever"', f'"Token={MASK}"'),
        ("token=", "token="),
        ("token=a token=b", f"token={MASK} token={MASK}"),
    ],
)
def test_the_value_of_every_token_parameter_in_a_text_disappears(text: str, clean: str) -> None:
    assert Redactor([]).text(text) == clean


def test_other_token_parameters_in_a_body_are_data() -> None:
    assert Redactor([]).body(b"https://shop.example.com/?token=coupon") == b"https://shop.example.com/?token=coupon"


def test_a_token_that_is_not_utf_8_disappears() -> None:
    token = b"open\xffsesame".decode(errors="surrogateescape")
    assert Redactor([token]).text(f"<{token}>") == f"<{MASK}>"


def test_a_fingerprint_is_short_stable_and_unique() -> None:
    names = [fingerprint(token) for token in AWKWARD]
    assert names == [fingerprint(token) for token in AWKWARD]
    assert len(set(names)) == len(AWKWARD)
    assert all(name.startswith("token-") and len(name) == len("token-") + 8 for name in names)


def test_a_fingerprint_can_be_part_of_a_file_name_or_field_name() -> None:
    assert all(set(fingerprint(token)) <= {*string.ascii_lowercase, *string.digits, "-"} for token in AWKWARD)
