"""Reference pages of the documentation, printed from the code: `python -m xingtu_crawler.reference docs`.

Knows the tables in the code, nothing of what they do.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic.fields import FieldInfo

from xingtu_crawler.options import API, RETRYING, SCRAPY, STORAGE, fields, form

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


def pages() -> dict[str, str]:
    """Return every page by file name."""
    return {"settings.md": settings_page()}


if __name__ == "__main__":
    for _name, _text in pages().items():
        Path(sys.argv[1], _name).write_text(_text, encoding="utf-8")
