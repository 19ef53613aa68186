"""Reference pages of the documentation, printed from the code: `python -m xingtu_crawler.reference docs`.

Knows the tables in the code, nothing of what they do.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pydantic.fields import FieldInfo

from xingtu_crawler.arguments.tables import AUTHORS_ARGUMENTS, SQUARE_ARGUMENTS, Argument
from xingtu_crawler.options import API, RETRYING, SCRAPY, STORAGE, fields, form
from xingtu_crawler.outcome import CLOSE_REASONS, SCRAPYS_REASONS, UNKNOWN_REASON, CloseReason
from xingtu_crawler.verdict import KINDS, MEANINGS, Verdict

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

`CLOSESPIDER_*` and `MEMUSAGE_*` end a crawl in the middle of its work: it sends no further request and stores what is
in flight. The run is then [incomplete](close-reasons.md#scrapys-own), with exit code 1.

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

A crawl reports how it ended in four ways: its verdict (the last line of the log, the closing table, `runs.verdict` and
`scrapy status`), its exit code, the close reason, and the WARNING and ERROR lines of its log, which
[Troubleshooting](troubleshooting.md) explains. `make docs` prints this page from `xingtu_crawler/outcome.py`.

## Verdicts

| verdict | exit code | meaning |
|---|---|---|
{verdicts}

The verdict is the worst of the close reason's verdict and of the severities of the [findings](findings.md). An
`incomplete` run that has stored nothing is `failed`.

## Exit codes

| code | meaning | what to do |
|---|---|---|
| 0 | The verdict is `complete`, `limited` or `capped`. | Nothing. |
| 1 | The verdict is `suspicious`, `incomplete` or `failed`. | Read the last lines of the log: `Next:` and `Verdict:`. |
| 2 | You have to correct something first. The crawl made no call. | Read the line that begins with `error:`, or the \
ERROR line of the log. |

If the log goes to a file (`--logfile`) or is off (`--nolog`), the line for exit code 2 is still on standard error. The
other commands use codes 0 and 2; `scrapy plan` exits with 1 if page 1 could not be fetched.

## Close reasons

The verdict is that on a crawl without [findings](findings.md).

| reason | verdict | exit code | meaning | what to do |
|---|---|---|---|---|
{rows}

After `finished` or `max_authors`, the same command reads the search again, as there may be new authors; after any other
reason it goes on where the search stopped, if that was within `max_age` or a day, unless `restart=1`. It does not fetch
details again that are younger than `max_age`.

### Scrapy's own

Scrapy's limits end a crawl in the middle of its work, so details of authors whom it has found are missing. `max_calls`,
`max_authors` and `max_pages` are the limits of this project: their runs are `limited`.

| reason | verdict | exit code | meaning | what to do |
|---|---|---|---|---|
{scrapys}

## No close reason

A run without a close reason is still going (`state: running`), or its process was killed: the next crawl marks it
`crashed`, with the verdict `incomplete`. Its documents are stored; run the same command again for the rest. Runs of
versions without verdicts have none: `scrapy status` shows `-`.
"""


def close_reasons_page() -> str:
    """Return docs/close-reasons.md."""
    verdicts = [
        f"| `{verdict}` | {_exit_code(verdict, before_calls=verdict is Verdict.FAILED)} | {meaning} |"
        for verdict, meaning in MEANINGS.items()
    ]
    scrapys = [_row_of(f"`{name}`", reason) for name, reason in SCRAPYS_REASONS.items()]
    return _CLOSE_REASONS_PAGE.format(
        verdicts="\n".join(verdicts),
        rows="\n".join(_row_of(f"`{name}`", reason) for name, reason in CLOSE_REASONS.items()),
        scrapys="\n".join([*scrapys, _row_of("any other", UNKNOWN_REASON)]),
    )


def _row_of(name: str, reason: CloseReason) -> str:
    code = _exit_code(reason.verdict, before_calls=reason.before_calls)
    return f"| {name} | `{reason.verdict}` | {code} | {_code(reason.meaning)} | {_code(reason.advice or 'Nothing.')} |"


def _exit_code(verdict: Verdict, *, before_calls: bool = False) -> str:
    code = "0" if verdict.is_good else "1"
    return f"{code}, or 2 before the first call" if before_calls else code


_FINDINGS_PAGE = """\
# Findings

What a crawl has found out about its result is in `runs.findings`, the most severe first:

| field | meaning |
|---|---|
| `kind` | A row of the table below. |
| `severity` | The verdict that the finding alone leads to. `complete` marks a note: it changes no verdict. |
| `message` | What was found, with endpoint, path and count where there are any. |
| `count` | How many times it was found. |
| `example`, `examples` | One example, such as the id of an author, and up to 20 of them. |
| `advice` | What to do; null for nothing. |

The last line of the log names the most severe findings, and `Note:` lines the others. The verdict of a run is the worst
severity, or that of its [close reason](close-reasons.md), if that is worse. An `incomplete` run that has stored nothing
is `failed`. `make docs` prints this page from `xingtu_crawler/verdict.py`.

| kind | severity | meaning | what to do |
|---|---|---|---|
{rows}
"""


def findings_page() -> str:
    """Return docs/findings.md."""
    rows = (
        f"| `{name}` | {_severity(kind.severity)} | {_code(kind.meaning)} | {_code(kind.advice or 'Nothing.')} |"
        for name, kind in KINDS.items()
    )
    return _FINDINGS_PAGE.format(rows="\n".join(rows))


def _severity(verdict: Verdict) -> str:
    return "note" if verdict is Verdict.COMPLETE else f"`{verdict}`"


def _code(text: str) -> str:
    """Return a text with the names of settings, arguments and commands marked as code."""
    names = r"\b(?:XINGTU|JUSTONEAPI|CLOSESPIDER|MEMUSAGE)_\w+|\bmax_\w+|\b(?:crawl|sweeps)\.\w+|\*\.\w+"
    commands = r"\bscrapy find \w+(?: --\S+ (?:'[^']*'|[\w.]+))*|\bscrapy (?:plan|crawl|replay|status)\b"
    return re.sub(f"({commands}|{names})", r"`\1`", text)


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
        "findings.md": findings_page(),
        "settings.md": settings_page(),
    }


if __name__ == "__main__":
    for _name, _text in pages().items():
        Path(sys.argv[1], _name).write_text(_text, encoding="utf-8")
