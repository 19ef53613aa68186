"""The hand-written pages of the codebook have every field that a crawl stores, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import ROOT, MakeCrawler, StartSandbox
from xingtu_crawler.storage.collections import (
    DAILY_CALLS,
    FAILURES,
    HISTORY,
    QUARANTINE,
    RUNS,
    SEARCH_HITS,
    SWEEPS,
)

PAGES = (DAILY_CALLS, FAILURES, HISTORY, QUARANTINE, RUNS, SEARCH_HITS, SWEEPS)
SELDOM = {
    ("plan",),
    ("pieces",),  # only of a body over 8 MB
    ("observed_between",),  # only if a spell was observed three times
    ("unparsed",),  # only if a value does not fit its type
}

Path = tuple[str, ...]


def paths(document: dict[str, Any], above: Path = ()) -> Iterator[Path]:
    """Yield the path of every value that is not an object, and of every empty object."""
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from paths(value, (*above, name))
        else:
            yield (*above, name)


def documented(page: str) -> set[Path]:
    """Return the fields of a page: the first column of its field tables, and `_id` if the text explains it."""
    tables = re.findall(r"^\| field \|.*?(?=^$|\Z)", page, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| (`.*?`) \| ", "".join(tables), re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`(.+?)`", cell)]
    return {tuple(name.split(".")) for name in names} | ({("_id",)} if "The `_id` is" in page else set())


def means(field: Path, path: Path) -> bool:
    """Return whether a stored path is this field or inside it; `<day>` stands for any name."""
    if len(field) > len(path):
        return False
    return all(part == name or part.startswith("<") for part, name in zip(field, path, strict=False))


async def test_the_pages_have_the_fields_of_real_documents(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: AsyncDatabase[dict[str, Any]]
) -> None:
    faults = [word for fault in ("wrong_id=0.05", "400=0.05", "301=0.2") for word in ("--fault", fault)]
    sandbox = start_sandbox("--authors", "60", *faults, "--fail", "search:2=500")
    settings = {"XINGTU_MAX_ATTEMPTS": 2, "XINGTU_DAILY_CALLS": 5000}
    for day in range(2):  # a spell is in `history` when it has ended
        sandbox.control(day=day)
        assert make_crawler(sandbox)("author_square", settings=settings, max_age=0).returncode == 1
    for name in PAGES:
        fields = documented((ROOT / "docs" / "codebook" / f"{name}.md").read_text(encoding="utf-8"))
        stored = {path async for document in mongo_db[name].find() for path in paths(document)}
        assert stored, name
        unknown = {path for path in stored if not any(means(field, path) for field in fields)}
        assert unknown == set(), f"{name}: not on the page"
        never = {field for field in fields if not any(means(field, path) for path in stored)}
        assert never - SELDOM == set(), f"{name}: in no document"
