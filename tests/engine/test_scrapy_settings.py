"""Scrapy's own settings: a value that Scrapy cannot use is refused in one line, one without effect is logged."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from scrapy.exceptions import NotConfigured
from scrapy.settings import Settings, default_settings
from scrapy.utils.test import get_crawler

from xingtu_crawler.engine.scrapy_settings import (
    WITHOUT_EFFECT,
    WithoutEffect,
    check_log,
    check_settings,
    check_values,
)
from xingtu_crawler.exceptions import UserError


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("CLOSESPIDER_TIMEOUT", "abc", "a number, 0 or more"),
        ("CLOSESPIDER_TIMEOUT", "-1", "a number, 0 or more"),
        ("CLOSESPIDER_TIMEOUT", "nan", "a number, 0 or more"),
        ("CLOSESPIDER_ITEMCOUNT", "1.5", "a whole number, 0 or more"),
        ("CLOSESPIDER_ERRORCOUNT", "", "a whole number, 0 or more"),
        ("MEMUSAGE_LIMIT_MB", "2GB", "a whole number, 0 or more"),
        ("MEMUSAGE_CHECK_INTERVAL_SECONDS", "x", "a number, 0 or more"),
        ("MEMUSAGE_ENABLED", "maybe", "0 or 1"),
        ("DNS_TIMEOUT", "soon", "a number, 0 or more"),
        ("REACTOR_THREADPOOL_MAXSIZE", "many", "a whole number, 0 or more"),
        ("SCRAPER_SLOT_MAX_ACTIVE_SIZE", "5MB", "a whole number, 0 or more"),
        ("LOG_STDOUT", "yes", "0 or 1"),
        ("LOG_ENCODING", "klingon", "the name of a text encoding, such as utf-8"),
        ("LOG_ENCODING", "hex", "the name of a text encoding, such as utf-8"),
        ("LOG_FORMAT", "%(nope)s", "a format of Python's logging, such as %(asctime)s %(message)s"),
        ("LOG_FORMAT", "%(nope", "a format of Python's logging, such as %(asctime)s %(message)s"),
        ("FEEDS", "a.jsonl", 'a JSON object such as {"authors.jsonl": {"format": "jsonlines"}}'),
        ("FEEDS", "[1]", 'a JSON object such as {"authors.jsonl": {"format": "jsonlines"}}'),
        ("FEED_EXPORT_ENCODING", "x-nope", "the name of a text encoding, such as utf-8"),
        ("ITEM_PIPELINES", "mine", "a JSON object of import paths and numbers"),
        ("ITEM_PIPELINES", '{"no.such.Pipeline": 1}', "a JSON object of import paths and numbers"),
        ("EXTENSIONS", '{"scrapy.extensions.logstats.LogStats": "x"}', "a JSON object of import paths and numbers"),
        ("PERIODIC_LOG_STATS", "all", "True or a JSON object"),
        ("STATS_CLASS", "no.Stats", "the import path of a class"),
        ("ASYNCIO_EVENT_LOOP", "no.Loop", "the import path of a class"),
        (
            "TWISTED_REACTOR",
            "twisted.internet.selectreactor.SelectReactor",
            "twisted.internet.asyncioreactor.AsyncioSelectorReactor, on which the HTTP client depends",
        ),
    ],
)
def test_a_value_that_scrapy_cannot_use_is_refused(name: str, value: str, form: str) -> None:
    with pytest.raises(UserError) as caught:
        check_values({name: value})
    assert str(caught.value) == f"{name} is {value!r}: it must be {form}."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLOSESPIDER_TIMEOUT", "1.5"),
        ("CLOSESPIDER_ITEMCOUNT", 10),
        ("DEPTH_PRIORITY", "-1"),
        ("DNS_TIMEOUT", "0.5"),
        ("MEMUSAGE_ENABLED", "0"),
        ("FEEDS", '{"a.jsonl": {"format": "jsonlines"}}'),
        ("EXTENSIONS", '{"scrapy.extensions.logstats.LogStats": null}'),
        ("PERIODIC_LOG_STATS", "True"),
        ("LOG_ENCODING", "gb18030"),
        ("ANY_OTHER", "x"),
    ],
)
def test_other_values_pass(name: str, value: object) -> None:
    check_values({name: value})


def test_scrapys_defaults_and_the_projects_settings_pass() -> None:
    settings = Settings()
    check_settings(settings)
    settings.setmodule("xingtu_crawler.settings", priority="project")
    check_settings(settings)
    settings.set("MEMUSAGE_LIMIT_MB", "x", priority="project")
    with pytest.raises(UserError, match="MEMUSAGE_LIMIT_MB"):
        check_settings(settings)


def test_scrapys_defaults_have_the_form_that_is_asked_for() -> None:
    check_values({name: value for name, value in vars(default_settings).items() if name.isupper()})


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    def settings(**values: Any) -> Settings:
        return Settings({"LOG_FILE": str(tmp_path / "x.log"), **values})

    check_log(settings())
    check_log(settings(LOG_FILE=None))
    (tmp_path / "x.log").write_text("kept", encoding="utf-8")
    check_log(settings())
    assert (tmp_path / "x.log").read_text(encoding="utf-8") == "kept"
    for file, why in ((tmp_path, "Is a directory"), (tmp_path / "no" / "x.log", "No such file or directory")):
        with pytest.raises(UserError) as caught:
            check_log(settings(LOG_FILE=str(file)))
        assert str(caught.value) == (
            f"The log cannot be written to {file} ({why}): name another file with --logfile or LOG_FILE."
        )


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_setting_without_effect_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="xingtu_crawler"):
        for settings in ({}, {name: "4"}):
            with pytest.raises(NotConfigured):
                WithoutEffect.from_crawler(get_crawler(settings_dict=settings))
    assert caplog.messages == [f"{name} has no effect here: {WITHOUT_EFFECT[name]}"]
