"""The base URLs of the environments, and which overrides are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.environments import BASE_URLS, SANDBOX, base_url
from xingtu_crawler.exceptions import UserError


def test_each_environment_has_its_address() -> None:
    assert base_url("prod-global") == "https://api.justoneapi.com"
    assert base_url("prod-cn") == "http://47.117.133.51:30015"
    assert base_url("sandbox") is None


def test_only_one_environment_sends_the_token_unencrypted() -> None:
    assert [name for name, url in BASE_URLS.items() if not url.startswith("https://")] == ["prod-cn"]


@pytest.mark.parametrize("environment", [*BASE_URLS, SANDBOX])
@pytest.mark.parametrize("override", ["", None])
def test_an_empty_override_is_ignored(environment: str, override: str | None) -> None:
    assert base_url(environment, override) == base_url(environment)


@pytest.mark.parametrize("environment", [*BASE_URLS, SANDBOX])
@pytest.mark.parametrize(
    ("override", "url"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com/proxy//", "https://api.example.com/proxy"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:65535/", "http://localhost:65535"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_override_applies_in_every_environment(environment: str, override: str, url: str) -> None:
    assert base_url(environment, override) == url


@pytest.mark.parametrize("override", ["api.example.com", "ftp://api.example.com", "//api.example.com", "HTTPS//x", "x"])
def test_another_scheme_is_refused(override: str) -> None:
    with pytest.raises(UserError, match="it must start with https://"):
        base_url("prod-global", override)


@pytest.mark.parametrize(
    "override",
    [
        "https://",
        "https:///v1",
        "http://:8000",
        "http://host:",
        "http://host:port",
        "http://host:65536",
        "http://host:123456",
        "http://[::1",
        "http://[:::::1]",
        "http://[1.2.3.4]",
        "http://host:0",
        "http://a..b",
        "http://.",
        f"http://{'a' * 64}.com",
        "http://ho st",
        "http://host/a b",
        "http://host\n",
        "http://host\x00",
    ],
)
def test_an_invalid_address_is_refused_in_one_line(override: str) -> None:
    with pytest.raises(UserError, match="write https://host") as caught:
        base_url("prod-global", override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "https://api.example.com?token=open-sesame",
        "https://api.example.com/v1?token=open-sesame",
        "https://api.example.com#open-sesame",
        "https://user:open-sesame@api.example.com",
        "api.example.com?token=open-sesame",
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_without_showing_it(override: str) -> None:
    with pytest.raises(UserError, match="JUSTONEAPI_TOKEN") as caught:
        base_url("prod-global", override)
    assert "sesame" not in str(caught.value)


@given(st.text())
def test_any_override_is_an_address_or_one_line(override: str) -> None:
    try:
        result = base_url("sandbox", override) or "http://"
    except UserError as error:
        result = f"http://{error}"
    assert result.startswith(("http://", "https://"))
    assert "\n" not in result
