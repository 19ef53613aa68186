"""The settings: every wrong value is named in one line, and every right one has its type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from scrapy.settings import Settings

from tests.harness import ROOT
from xingtu_crawler import settings as project
from xingtu_crawler.api import credentials
from xingtu_crawler.exceptions import TokenError, UserError
from xingtu_crawler.options import SCRAPY, Options, defaults
from xingtu_crawler.spiders.authors import AuthorsSpider

READERS = {"options.py", "setting_values.py", "settings.py"}
MODULES = [path for path in (ROOT / "xingtu_crawler").rglob("*.py") if path.name not in READERS]
NO_SLOTS = "does not work here, as the crawl finds its own pace: remove it, or limit the pace with XINGTU_MAX_RATE."


def all_settings(**changes: object) -> Settings:
    settings = Settings()
    settings.setmodule(project)
    AuthorsSpider.update_settings(settings)
    settings.update(changes)
    return settings


def problem(**changes: object) -> str:
    with pytest.raises(UserError) as raised:
        Options.read(all_settings(**changes))
    return str(raised.value)


def test_the_projects_own_values_are_the_defaults() -> None:
    assert Options.read(all_settings()) == Options.read({})


def test_the_defaults_of_scrapys_settings_are_those_of_the_project() -> None:
    settings = all_settings()
    for name, value in defaults(SCRAPY).items():
        assert settings[name] == value, name


def test_every_numeric_setting_of_the_project_is_read() -> None:
    def is_number(value: Any) -> bool:
        return not isinstance(value, bool) and str(value).replace(".", "", 1).isdigit()

    numeric = {name for name in dir(project) if name.isupper() and is_number(getattr(project, name))}
    assert numeric <= {field.alias for field in Options.model_fields.values()}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("XINGTU_MAX_RATE", "-1", "XINGTU_MAX_RATE is '-1': it must be a number of calls per second, 0 or more."),
        ("XINGTU_MAX_RATE", "nan", "XINGTU_MAX_RATE is 'nan': it must be a number of calls per second, 0 or more."),
        ("XINGTU_MAX_ATTEMPTS", "0", "XINGTU_MAX_ATTEMPTS is '0': it must be a whole number, 1 or more."),
        ("XINGTU_MAX_ATTEMPTS", "2.0", "XINGTU_MAX_ATTEMPTS is '2.0': it must be a whole number, 1 or more."),
        ("XINGTU_BACKOFF_BASE", "", "XINGTU_BACKOFF_BASE is '': it must be a number of seconds, 0 or more."),
        ("XINGTU_BACKOFF_MAX", "inf", "XINGTU_BACKOFF_MAX is 'inf': it must be a number of seconds, 0 or more."),
        (
            "XINGTU_EMBEDDED_MIN_FREE",
            "1GB",
            "XINGTU_EMBEDDED_MIN_FREE is '1GB': it must be a whole number of bytes, 0 or more.",
        ),
        ("CONCURRENT_REQUESTS", 0, "CONCURRENT_REQUESTS is '0': it must be a whole number, 1 or more."),
        ("DOWNLOAD_TIMEOUT", "0", "DOWNLOAD_TIMEOUT is '0': it must be a number of seconds above 0."),
        ("XINGTU_DAILY_CALLS", "1k", "XINGTU_DAILY_CALLS is '1k': it must be a whole number of calls, 0 or more."),
        ("XINGTU_HISTORY", "no", "XINGTU_HISTORY is 'no': it must be 0 or 1."),
        ("HTTPPROXY_ENABLED", "yes", "HTTPPROXY_ENABLED is 'yes': it must be 0 or 1."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud': it must be one of CRITICAL, ERROR, WARNING, INFO, DEBUG."),
        ("LOG_LEVEL", "10", "LOG_LEVEL is '10': it must be one of CRITICAL, ERROR, WARNING, INFO, DEBUG."),
        ("JUSTONEAPI_ENV", "prod", "JUSTONEAPI_ENV is 'prod': it must be one of prod-global, prod-cn, sandbox."),
        ("MONGO_DATABASE", "admin", "MONGO_DATABASE is 'admin', a database of MongoDB's own: use another name."),
        (
            "MONGO_DATABASE",
            "xing\u200btu",
            r"MONGO_DATABASE is 'xing\u200btu', which is no name of a database: use letters, digits, _ and -.",
        ),
        (
            "MONGO_URI",
            "mongodb://me:secret@db1/a%20b",
            "MONGO_URI has a path that is no name of a database: use letters, digits, _ and -.",
        ),
        ("MONGO_URI", 27017, "MONGO_URI is wrong: it must be a MongoDB connection string."),
        ("DOWNLOAD_DELAY", "1", f"DOWNLOAD_DELAY {NO_SLOTS}"),
        ("DOWNLOAD_SLOTS", {"a": {}}, f"DOWNLOAD_SLOTS {NO_SLOTS}"),
        ("XINGTU_SANDBOX", "--fault '301", "XINGTU_SANDBOX: No closing quotation: close the quotation mark."),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, message: str) -> None:
    assert problem(**{name: value}) == message


@pytest.mark.parametrize(
    ("name", "value", "begins"),
    [
        ("XINGTU_SANDBOX", "--fautl 301=1", "XINGTU_SANDBOX: unknown argument --fautl: did you mean --fault?"),
        ("JUSTONEAPI_BASE_URL", "api.justoneapi.com", "JUSTONEAPI_BASE_URL is 'api.justoneapi.com': "),
        ("JUSTONEAPI_BASE_URL", "https://host/?token=S3NT1NEL", "JUSTONEAPI_BASE_URL holds more than an address: "),
        ("JUSTONEAPI_TOKEN", "S3NT1NEL", "JUSTONEAPI_TOKEN was given as a setting, "),
    ],
)
def test_other_modules_check_their_settings(name: str, value: str, begins: str) -> None:
    said = problem(**{name: value})
    assert said.startswith(begins)
    assert "S3NT1NEL" not in said


def test_the_first_wrong_setting_is_named() -> None:
    assert problem(XINGTU_HISTORY="x", XINGTU_MAX_RATE="x").startswith("XINGTU_MAX_RATE is")


@given(name=st.sampled_from([field.alias for field in Options.model_fields.values()]), value=st.text() | st.none())
def test_any_text_is_read_or_refused_in_one_line(name: str, value: str | None) -> None:
    said = ""
    try:
        Options.read({name: value})
    except UserError as error:
        said = str(error)
    assert not said or said.startswith(name)
    assert "\n" not in said


@given(value=st.text() | st.floats() | st.integers())
def test_scrapy_can_read_every_number_that_passes(value: object) -> None:
    for name in ("CONCURRENT_REQUESTS", "DOWNLOAD_MAXSIZE", "DOWNLOAD_TIMEOUT"):
        try:
            Options.read({name: value})
        except UserError:
            continue
        settings = all_settings(**{name: value})
        assert (settings.getfloat if name == "DOWNLOAD_TIMEOUT" else settings.getint)(name) >= 0


def test_values_are_typed() -> None:
    options = Options.read(
        {
            "XINGTU_MAX_ATTEMPTS": "3",
            "XINGTU_MAX_RATE": "2.5",
            "XINGTU_HISTORY": "0",
            "XINGTU_DATA_DIR": "there",
            "XINGTU_SANDBOX": "--authors 20 --fault '301=0.1'",
            "DEFAULT_REQUEST_HEADERS": Settings()["DEFAULT_REQUEST_HEADERS"],
            "LOG_LEVEL": "DEBUG",
            "LOG_FILE": "",
        }
    )
    assert options.max_attempts == 3
    assert options.max_rate == 2.5
    assert options.keeps_history is False
    assert options.embedded_folder == Path("there/mongo")
    assert options.sandbox_arguments == ("--authors", "20", "--fault", "301=0.1")
    assert set(options.request_headers) == {"Accept", "Accept-Language"}
    assert options.log_level == 10
    assert options.logs_to_terminal


@pytest.mark.parametrize(
    ("settings", "name", "folder"),
    [
        ({}, "xingtu", "xingtu@embedded"),
        ({"JUSTONEAPI_ENV": "sandbox"}, "xingtu_sandbox", "xingtu_sandbox@embedded"),
        ({"MONGO_DATABASE": "mine", "JUSTONEAPI_ENV": "sandbox"}, "mine", "mine@embedded"),
        ({"MONGO_DATABASE": "", "MONGO_URI": ""}, "xingtu", "xingtu@embedded"),
        ({"MONGO_URI": "mongodb://me:secret@db1"}, "xingtu", "xingtu@db1"),
        ({"MONGO_URI": "mongodb://db1/panel?w=1"}, "panel", "panel@db1"),
        ({"MONGO_URI": "mongodb://db1/panel", "JUSTONEAPI_ENV": "sandbox"}, "panel_sandbox", "panel_sandbox@db1"),
        ({"MONGO_URI": "mongodb://db1/panel", "MONGO_DATABASE": "mine"}, "mine", "mine@db1"),
    ],
)
def test_synthetic_data_and_other_servers_have_their_own_database_and_folder(
    settings: dict[str, str], name: str, folder: str
) -> None:
    options = Options.read(settings)
    assert options.database_name == name
    assert options.spill_directory == Path(".data/spill", folder)


def test_an_empty_path_is_not_the_working_directory() -> None:
    assert Options.read({"XINGTU_DATA_DIR": ""}).data_dir == Path(".data")


def test_no_secret_is_printed() -> None:
    options = Options.read({"JUSTONEAPI_TOKEN": SecretStr("S3NT1NEL"), "MONGO_URI": "mongodb://me:S3NT1NEL@db1"})
    assert "S3NT1NEL" not in f"{options!r} {options}"


def test_a_token_comes_from_the_environment_a_file_or_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("# mine\nfrom-the-file\n", encoding="utf-8")
    for settings, secret in (
        ({"JUSTONEAPI_TOKEN": SecretStr("from-the-environment")}, "from-the-environment"),
        ({"JUSTONEAPI_TOKEN_FILE": str(tmp_path / "token")}, "from-the-file"),
        ({"JUSTONEAPI_ENV": "sandbox"}, credentials.SANDBOX_TOKEN),
        ({"JUSTONEAPI_ENV": "sandbox", "JUSTONEAPI_TOKEN": SecretStr("short")}, "short"),
    ):
        assert Options.read(settings).token_pool().secrets() == [secret]


@pytest.mark.parametrize(
    ("token", "file", "begins"),
    [
        (None, None, "No token: set JUSTONEAPI_TOKEN"),
        (" ", None, "JUSTONEAPI_TOKEN is set but empty: "),
        ("whole-token,cut", None, "JUSTONEAPI_TOKEN holds a token of fewer than 8 characters: "),
        ("whole-token", "missing", "JUSTONEAPI_TOKEN and JUSTONEAPI_TOKEN_FILE are both set: "),
        (None, "missing", "JUSTONEAPI_TOKEN_FILE: cannot read missing (No such file or directory)."),
        (None, "binary", "JUSTONEAPI_TOKEN_FILE: cannot read binary (not UTF-8 text)."),
        (None, "empty", "JUSTONEAPI_TOKEN_FILE (empty) is set but empty: "),
    ],
)
def test_a_token_that_cannot_be_one_is_refused(
    token: str | None, file: str | None, begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("binary").write_bytes(b"\xff\xfe\x00")
    options = Options.read({"JUSTONEAPI_TOKEN": token and SecretStr(token), "JUSTONEAPI_TOKEN_FILE": file})
    with pytest.raises(TokenError) as raised:
        options.token_pool()
    assert str(raised.value).startswith(begins)
    assert "whole-token" not in str(raised.value)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_converts_a_setting(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"\.get(int|bool|float|dict|list)\(", source)
    assert not re.search(r"\b(int|float|bool|Path|dict|str)\((\w+\.)*settings\b", source)


@pytest.mark.parametrize("value", ["0", "False", False, 0])
def test_certificates_cannot_be_left_unverified(value: object) -> None:
    with pytest.raises(UserError, match=r"DOWNLOAD_VERIFY_CERTIFICATES is .*: it must be 1, because any server could"):
        Options.read({"DOWNLOAD_VERIFY_CERTIFICATES": value})
