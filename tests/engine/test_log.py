"""The second line of defence: no log record shows a token, whoever logs it; and what Scrapy says of items."""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scrapy import Request, Spider
from scrapy.exceptions import DropItem
from scrapy.http import Response
from scrapy.utils.log import failure_to_exc_info
from twisted.python import log as twisted_log
from twisted.python.failure import Failure

from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.engine import log
from xingtu_crawler.engine.log import RedactingRecord, XingtuLogFormatter, guarded, logger_levels, protect, redacted
from xingtu_crawler.items.answers import DetailAnswer

TOKEN = "a+%/&= \"x'sesame"
SIGN = "sesame"
URL = f"https://api.example.com/v1?token={quote(TOKEN, safe='')}&page=2"


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Guard the log, and leave the process's logging as it was."""
    monkeypatch.setattr(log, "_tokens", set())
    monkeypatch.setattr(log, "_redactor", log._redactor)
    with guarded():
        yield


class Journal:
    """A logger of its own whose formatted lines are kept."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.setFormatter(logging.Formatter("%(name)s %(levelname)s: %(message)s"))

    def __enter__(self) -> Self:
        self.logger.addHandler(self._handler)
        self._propagated, self.logger.propagate = self.logger.propagate, False
        self._level = self.logger.level
        self.logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.logger.removeHandler(self._handler)
        self.logger.propagate = self._propagated
        self.logger.setLevel(self._level)

    @property
    def text(self) -> str:
        return self._stream.getvalue()


@pytest.fixture
def journal() -> Iterator[Journal]:
    protect([TOKEN])
    with Journal("some.library") as kept:
        yield kept


def failed(error: Exception | None = None) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call]


def fail(message: str) -> None:
    raise ValueError(message)


def test_a_token_in_a_message_is_hidden(journal: Journal) -> None:
    journal.logger.info(f"using {TOKEN} now")  # noqa: G004 - as other people write it
    assert journal.text == "some.library INFO: using *** now\n"


def test_a_token_in_the_arguments_is_hidden(journal: Journal) -> None:
    journal.logger.info("%s of %d for %r", URL, 2, {"token": TOKEN})
    assert SIGN not in journal.text
    assert "page=2" in journal.text


def test_a_token_in_named_arguments_is_hidden(journal: Journal) -> None:
    journal.logger.info("%(url)s", {"url": URL})
    assert journal.text == "some.library INFO: https://api.example.com/v1?token=***&page=2\n"


def test_a_token_of_an_object_that_is_printed_late_is_hidden(journal: Journal) -> None:
    journal.logger.info("%s", Request("https://api.example.com/v1?page=2&key=" + quote(TOKEN, safe="")))
    assert journal.text == "some.library INFO: <GET https://api.example.com/v1?page=2&key=***>\n"


def test_a_token_in_a_traceback_is_hidden(journal: Journal) -> None:
    try:
        fail(f"cannot connect to {URL}")
    except ValueError:
        journal.logger.exception("it failed")
    assert "ValueError: cannot connect to https://api.example.com/v1?token=***" in journal.text
    assert SIGN not in journal.text


def test_a_token_in_a_chain_of_exceptions_is_hidden(journal: Journal) -> None:
    try:
        try:
            try:
                fail(TOKEN)
            except ValueError as first:
                second = RuntimeError(f"then {TOKEN}")
                second.add_note(f"a note on {TOKEN}")
                raise second from first
        except RuntimeError:
            fail(f"in the end {TOKEN}")
    except ValueError:
        journal.logger.exception("it failed")
    assert journal.text.count("***") == 4
    assert SIGN not in journal.text


def test_a_token_in_a_group_of_exceptions_is_hidden(journal: Journal) -> None:
    group = ExceptionGroup(f"all of {TOKEN}", [ValueError(TOKEN), KeyError(TOKEN)])
    journal.logger.error("it failed", exc_info=group)
    assert journal.text.count("***") == 3
    assert SIGN not in journal.text


def test_a_token_in_a_stack_is_hidden(journal: Journal) -> None:
    code = compile(f"logger.info('here', stack_info=True)  # {SIGN}", f"<{TOKEN}>", "exec")
    exec(code, {"logger": journal.logger})
    assert "Stack (most recent call last)" in journal.text
    assert TOKEN not in journal.text
    assert "<***>" in journal.text


def test_a_twisted_failure_is_hidden(journal: Journal) -> None:
    try:
        fail(TOKEN)
    except ValueError:
        failure = failed()
    journal.logger.error("it failed", exc_info=failure_to_exc_info(failure))
    assert "ValueError: ***" in journal.text
    assert SIGN not in journal.text


def test_what_twisted_logs_is_hidden() -> None:
    protect([TOKEN])
    observer: Any = twisted_log.PythonLoggingObserver("twisted.here")  # type: ignore[no-untyped-call]
    with Journal("twisted.here") as journal:
        observer.start()
        try:
            twisted_log.msg(f"Timing out {URL}")
        finally:
            observer.stop()
    assert "Timing out https://api.example.com/v1?token=***" in journal.text
    assert SIGN not in journal.text


def test_a_warning_is_hidden() -> None:
    protect([TOKEN])
    with Journal("py.warnings") as journal, warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        try:
            warnings.warn(f"{URL} is slow", stacklevel=1)
        finally:
            logging.captureWarnings(False)
    assert "https://api.example.com/v1?token=***&page=2 is slow" in journal.text
    assert SIGN not in journal.text


async def test_an_unretrieved_exception_is_hidden() -> None:
    protect([TOKEN])
    with Journal("asyncio") as journal:
        asyncio.get_running_loop().call_exception_handler({"message": f"lost {TOKEN}", "exception": ValueError(TOKEN)})
    assert journal.text.count("***") >= 2
    assert SIGN not in journal.text


def test_arguments_that_do_not_fit_are_hidden(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    template = "%d calls with %s"
    journal.logger.info(template, TOKEN)
    assert journal.text == "some.library INFO: %d calls with %s ('***',)\n"
    assert capsys.readouterr().err == ""


def test_every_handler_and_formatter_gets_the_same(journal: Journal) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    keep = Keep()
    journal.logger.addHandler(keep)
    try:
        fail(TOKEN)
    except ValueError:
        journal.logger.exception("with %s", TOKEN)
    finally:
        journal.logger.removeHandler(keep)
    (record,) = records
    assert isinstance(record, RedactingRecord)
    assert record.getMessage() == "with ***"
    assert record.exc_text is not None
    assert SIGN not in record.exc_text
    assert "***" in logging.Formatter("{message}", style="{").format(record)


def test_what_is_known_before_and_after_is_hidden(journal: Journal) -> None:
    protect(["another-secret", ""])
    journal.logger.info("%s and %s", TOKEN, "another-secret")
    assert journal.text == "some.library INFO: *** and ***\n"


@pytest.mark.parametrize("nothing", [[], [""], [" "]])
def test_no_token_hides_nothing(nothing: list[str]) -> None:
    protect(nothing)
    with Journal("some.library") as journal:
        journal.logger.info("a b c")
    assert journal.text == "some.library INFO: a b c\n"


def test_other_text_can_be_redacted_too() -> None:
    protect([TOKEN])
    assert redacted(f"see {URL}") == "see https://api.example.com/v1?token=***&page=2"


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="*"), min_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_no_record_shows_any_token(token: str) -> None:
    log._tokens.clear()
    protect([token])
    around = [*traceback.format_exception(ValueError("")), "here, some.library ERROR: at: it failed"]
    with Journal("some.library") as journal:
        try:
            raise ValueError(token)
        except ValueError:
            journal.logger.exception("at %s: %r", quote(token, safe=""), [token])
    assert token not in journal.text or any(token in line for line in around)


@pytest.fixture
def answer() -> DetailAnswer:
    envelope = Envelope(0, "success", {"nick_name": "very long"}, None, None, 0)
    at = datetime(2026, 3, 8, tzinfo=UTC)
    return DetailAnswer("base_info", "7000000000000000001", "SHORT_VIDEO", envelope, b"very long body", at)


@pytest.mark.parametrize(
    ("method", "level", "line"),
    [
        ("scraped", logging.DEBUG, "Stored base_info of 7000000000000000001 (SHORT_VIDEO)"),
        ("dropped", logging.WARNING, "Quarantined base_info of 7000000000000000001 (SHORT_VIDEO): why"),
        ("item_error", logging.ERROR, "Could not store base_info of 7000000000000000001 (SHORT_VIDEO)"),
    ],
)
def test_messages_about_items_are_short(answer: DetailAnswer, method: str, level: int, line: str) -> None:
    formatter = XingtuLogFormatter()
    arguments = {
        "scraped": (answer, Response("https://api.example.com"), Spider("x")),
        "dropped": (answer, ValueError("why"), Response("https://api.example.com"), Spider("x")),
        "item_error": (answer, ValueError("why"), Response("https://api.example.com"), Spider("x")),
    }[method]
    said = getattr(formatter, method)(*arguments)
    assert said["level"] == level
    assert said["msg"] % said["args"] == line


@pytest.mark.parametrize(("level", "number"), [("DEBUG", logging.DEBUG), ("INFO", logging.INFO)])
def test_an_item_dropped_for_another_reason_is_not_called_quarantined(
    level: str, number: int, answer: DetailAnswer
) -> None:
    error = DropItem("MongoDB is gone", log_level=level)
    said = XingtuLogFormatter().dropped(answer, error, Response("https://api.example.com"), Spider("x"))
    assert said is not None
    assert said["level"] == number
    assert said["msg"] % said["args"] == (
        "Not stored: base_info of 7000000000000000001 (SHORT_VIDEO) (MongoDB is gone)"
    )


def test_a_download_error_is_one_line() -> None:
    said = XingtuLogFormatter().download_error(
        failed(ValueError("why")), Request("https://api.example.com"), Spider("x"), "details"
    )
    assert said["level"] == logging.ERROR
    assert said["msg"] % said["args"] == "Error downloading <GET https://api.example.com>"


def test_the_record_factory_is_restored_unless_another_library_has_replaced_it() -> None:
    logging.setLogRecordFactory(logging.LogRecord)
    with guarded(), guarded():
        assert logging.getLogRecordFactory() is RedactingRecord
    assert logging.getLogRecordFactory() is logging.LogRecord

    def of_another_library(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return logging.LogRecord(*args, **kwargs)

    with guarded():
        logging.setLogRecordFactory(of_another_library)
    assert logging.getLogRecordFactory() is of_another_library


def test_tokens_alone_do_not_change_the_log() -> None:
    logging.setLogRecordFactory(logging.LogRecord)
    protect([TOKEN])
    assert logging.getLogRecordFactory() is logging.LogRecord


def test_levels_are_restored() -> None:
    logger = logging.getLogger("some.library")
    logger.setLevel(logging.ERROR)
    try:
        with logger_levels({"some.library": logging.INFO, "another.library": logging.INFO}):
            assert logger.level == logging.getLogger("another.library").level == logging.INFO
        assert (logger.level, logging.getLogger("another.library").level) == (logging.ERROR, logging.NOTSET)
    finally:
        logger.setLevel(logging.NOTSET)
