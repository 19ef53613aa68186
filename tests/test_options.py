"""Settings that cannot mean anything are named before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.settings import Settings

from xingtu_crawler import settings as project
from xingtu_crawler.exceptions import SandboxError, UserError
from xingtu_crawler.options import NUMBERS, SWITCHES, check_log_level, check_settings, sandbox_arguments


def all_settings(**changes: object) -> Settings:
    settings = Settings()
    settings.setmodule(project)
    settings.update(changes)
    return settings


def problem(**changes: object) -> str:
    with pytest.raises(UserError) as raised:
        check_settings(all_settings(**changes))
    return str(raised.value)


def test_the_projects_own_values_pass() -> None:
    check_settings(all_settings())


def test_every_numeric_setting_of_the_project_is_checked() -> None:
    def is_number(value: Any) -> bool:
        return not isinstance(value, bool) and str(value).replace(".", "", 1).isdigit()

    numeric = {name for name in dir(project) if name.isupper() and is_number(getattr(project, name))}
    assert numeric <= {*NUMBERS, *SWITCHES}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("XINGTU_MAX_RATE", "-1", "XINGTU_MAX_RATE is '-1': it is a number of calls per second from 0 up."),
        ("XINGTU_MAX_RATE", "nan", "XINGTU_MAX_RATE is 'nan': it is a number of calls per second from 0 up."),
        ("XINGTU_MAX_ATTEMPTS", "0", "XINGTU_MAX_ATTEMPTS is '0': it is a whole number from 1 up."),
        ("XINGTU_MAX_ATTEMPTS", "2.5", "XINGTU_MAX_ATTEMPTS is '2.5': it is a whole number from 1 up."),
        ("XINGTU_BACKOFF_BASE", "", "XINGTU_BACKOFF_BASE is '': it is a number of seconds from 0 up."),
        ("XINGTU_BACKOFF_MAX", "inf", "XINGTU_BACKOFF_MAX is 'inf': it is a number of seconds from 0 up."),
        (
            "XINGTU_EMBEDDED_MIN_FREE",
            "1GB",
            "XINGTU_EMBEDDED_MIN_FREE is '1GB': it is a whole number of bytes from 0 up.",
        ),
        ("XINGTU_STORAGE_PATIENCE", None, "XINGTU_STORAGE_PATIENCE is 'None': it is a number of seconds from 0 up."),
        ("CONCURRENT_REQUESTS", 0, "CONCURRENT_REQUESTS is '0': it is a whole number from 1 up."),
        ("DOWNLOAD_TIMEOUT", "0", "DOWNLOAD_TIMEOUT is '0': it is a number of seconds above 0."),
        ("XINGTU_DAILY_CALLS", "1k", "XINGTU_DAILY_CALLS is '1k': it is a whole number from 0 up."),
        ("XINGTU_HISTORY", "no", "XINGTU_HISTORY is 'no': it is 0 or 1."),
        (
            "DOWNLOAD_DELAY",
            "1",
            "DOWNLOAD_DELAY has no meaning here, the pace is found out: leave it out, or cap it with XINGTU_MAX_RATE.",
        ),
        (
            "DOWNLOAD_SLOTS",
            {"a": {}},
            "DOWNLOAD_SLOTS has no meaning here, the pace is found out: leave it out, or cap it with XINGTU_MAX_RATE.",
        ),
        ("HTTPPROXY_ENABLED", "yes", "HTTPPROXY_ENABLED is 'yes': it is 0 or 1."),
        ("XINGTU_SANDBOX", "--fault '301", "XINGTU_SANDBOX: No closing quotation: close the quotation mark."),
        ("XINGTU_SANDBOX", "--fautl 301=1", "XINGTU_SANDBOX: unknown argument --fautl: did you mean --fault?"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, message: str) -> None:
    assert problem(**{name: value}) == message


@given(value=st.text() | st.floats() | st.integers() | st.none())
def test_what_passes_can_be_read_as_a_number(value: object) -> None:
    for name, number in NUMBERS.items():
        if number.allows(value):
            settings = all_settings(**{name: value})
            read = settings.getint(name) if number.whole else settings.getfloat(name)
            assert read >= number.least


def test_sandbox_options_come_back_as_words() -> None:
    assert sandbox_arguments("--authors 20 --fault '301=0.1'") == ["--authors", "20", "--fault", "301=0.1"]
    assert sandbox_arguments("") == sandbox_arguments(None) == []
    with pytest.raises(SandboxError):
        sandbox_arguments("--authors 0")


def test_a_log_level_is_one_of_five() -> None:
    check_log_level("DEBUG")
    check_log_level(10)
    with pytest.raises(UserError) as raised:
        check_log_level("loud")
    assert str(raised.value) == "LOG_LEVEL is 'loud': it is one of CRITICAL, ERROR, WARNING, INFO, DEBUG."
