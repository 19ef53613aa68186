"""Reference pages of the documentation, printed from the code: `python -m xingtu_crawler.reference docs`.

Knows the tables in the code, nothing of what they do.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from xingtu_crawler.arguments.tables import AUTHORS_ARGUMENTS, SQUARE_ARGUMENTS, Argument
from xingtu_crawler.options import API, RETRYING, SCRAPY, STORAGE, fields, form
from xingtu_crawler.outcome import AFTER_FAILURES, AFTER_QUARANTINE, CLOSE_REASONS, CloseReason

_ABOVE_SETTINGS = """\
# Settings

Set a setting of this project in the environment, or with `-s NAME=VALUE` (`setting=NAME=VALUE` for scrapyd); the token
only in the environment or a file. Set [Scrapy's](#scrapys-own) with `-s` only. An empty environment variable counts as
not set. A value that cannot be right is reported in one line before the first call, with exit code 2.

`make docs` prints this page from `xingtu_crawler/options.py`; `xingtu_crawler/settings.py` has the reason for every
other setting of Scrapy.
"""
_BELOW_SETTINGS = """
`JOBDIR` is not needed: to resume a crawl, run the same command again. The crawl finds what is missing in MongoDB, which
knows it better than a queue that was written before the last responses arrived.

`CLOSESPIDER_*` and `MEMUSAGE_*` close a crawl as the limits of this project do: it sends no further request and stores
what is in flight. The exit code is then 1.

## When the token is sent

With every call, as the query parameter `token`: the API has no other way. The first call fetches the account's balance
(`/user/get-balance`, not billed), so that the run can record its cost. By then the host has accepted a connection and,
with `https://`, shown a valid certificate; only its responses show whether it is the API. So a wrong
`JUSTONEAPI_BASE_URL` sees the token.
"""


def settings_page() -> str:
    """Return docs/settings.md."""
    lines = [_ABOVE_SETTINGS]
    for part in (API, RETRYING, STORAGE, SCRAPY):
        lines += [f"## {part}", "", "| setting | default | value | meaning |", "|---|---|---|---|"]
        lines += [_row(name, field) for name, field in fields(part)]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n" + _BELOW_SETTINGS


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.default in (None, "") else f"`{field.default}`"
    return f"| `{name}` | {default} | {form(field)} | {field.description} |"


_CLOSE_REASONS_PAGE = """\
# How a crawl ends

A crawl reports how it ended in three places: its exit code, the close reason (in its last lines and in `runs`), and the
WARNING and ERROR lines of its log, which [Troubleshooting](troubleshooting.md) explains. `make docs` prints this page
from `xingtu_crawler/outcome.py`.

## Exit codes

| code | meaning | what to do |
|---|---|---|
| 0 | The crawl did its job; limits that you set (`max_calls`, `max_authors`, `max_pages`) are part of it. | Nothing. |
| 1 | Something is missing: the crawl ended early, requests failed, an answer is in `quarantine`, or the log holds an \
ERROR. | Read the last lines of the log: `Failed:` and `Next:`. |
| 2 | You have to correct something first. The crawl made no call. | Read the line that begins with `error:`, or the \
ERROR line of the log. |

If the log goes to a file (`--logfile`) or is off (`--nolog`), the line for exit code 2 is still on standard error. The
other commands use codes 0 and 2; `scrapy plan` exits with 1 if page 1 could not be fetched.

## Close reasons

| reason | exit code | meaning | what to do |
|---|---|---|---|
{rows}

After `finished` or `max_authors`, the same command reads the search again, as there may be new authors; after any other
reason it goes on where the search stopped, unless `restart=1`. It does not fetch details again that are younger than
`max_age`.

Scrapy's own limits (`CLOSESPIDER_*`, `MEMUSAGE_*`) have close reasons of their own, such as `closespider_timeout`; the
exit code is 1, and running the same command again resumes the crawl.

A run without a close reason is still going (`state: running`), or its process was killed: the next crawl marks it
`crashed`. Its documents are stored; run the same command again for the rest.
"""


def close_reasons_page() -> str:
    """Return docs/close-reasons.md."""
    return _CLOSE_REASONS_PAGE.format(rows="\n".join(_close_reason_rows()))


def _close_reason_rows() -> Iterator[str]:
    for name, reason in CLOSE_REASONS.items():
        yield f"| `{name}` | {_exit_code(reason)} | {_code(reason.meaning)} | {_code(reason.advice or 'Nothing.')} |"
        if name == "finished":
            yield f"| `{name}`, with failures | 1 | Some requests failed. | {AFTER_FAILURES} |"
            yield f"| `{name}`, with quarantine | 1 | Some answers are no documents. | {_code(AFTER_QUARANTINE)} |"


def _exit_code(reason: CloseReason) -> str:
    if reason.is_success:
        return "0, or 1 if something is missing"
    return "1, or 2 before the first call" if reason.before_calls else "1"


def _code(text: str) -> str:
    """Return a text with the names of settings, arguments and commands marked as code."""
    return re.sub(r"\b((XINGTU|JUSTONEAPI)_\w+|max_\w+|scrapy (plan|crawl|find quarantine)\b)", r"`\1`", text)


_ARGUMENTS_PAGE = """\
# Arguments of the spiders

Give arguments with `-a NAME=VALUE`. A wrong argument is reported in one line before the first call, with the nearest
right name. `make docs` prints this page from `xingtu_crawler/arguments/tables.py`.

## author_square

Reads every page of one author search, or of several, and fetches the details of every author found.

{square}

Every [search filter](search-filters.md) is an argument too, under the name listed there or under the API's own name.
Any other name is refused; `filter.NAME=VALUE` sends a search filter that this version does not know. The queries of a
[`queries_file`](search-filters.md#several-queries-in-one-crawl) are read side by side in one crawl.

`max_authors` is a limit, not a sample: a search lists the authors with the most followers first.

## authors

Fetches the details of authors whose ids you or the dataset know. Give exactly one of the first five.

{authors}
"""


def arguments_page() -> str:
    """Return docs/arguments.md."""
    return _ARGUMENTS_PAGE.format(square=_arguments(SQUARE_ARGUMENTS), authors=_arguments(AUTHORS_ARGUMENTS))


def _arguments(table: tuple[Argument, ...]) -> str:
    rows = (f"| `{a.name}` | {f'`{a.default}`' if a.default else ''} | {a.meaning} |" for a in table)
    return "\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])


def pages() -> dict[str, str]:
    """Return every page by file name."""
    return {
        "arguments.md": arguments_page(),
        "close-reasons.md": close_reasons_page(),
        "settings.md": settings_page(),
    }


if __name__ == "__main__":
    for _name, _text in pages().items():
        Path(sys.argv[1], _name).write_text(_text, encoding="utf-8")
