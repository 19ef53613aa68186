"""Bytes that a first crawl stores, by collection, beside the bytes that the API sent.

Used by the scenario `storage` of `bench`.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from rich.table import Table

from benchmarks.peers.common import DETAILS, PLATFORM, SEARCH
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.process import SandboxProcess

_PAGE_SIZE = 20
_SAMPLE = 100


def sent_per_author(sandbox: SandboxProcess, authors: int) -> float:
    """Return the bytes of the answers about one author: four details and a twentieth of a search page.

    Reads the bodies of the first hundred authors again; call it when the ledger is no longer needed.
    """
    population = Population(seed=1, size=authors)
    sample = min(authors, _SAMPLE)
    paths = [f"{SEARCH}?token=t&page={page}" for page in range(1, sample // _PAGE_SIZE + 1)]
    paths += [
        f"{path}?token=t&oAuthorId={population.star_id(number)}&platform={PLATFORM}"
        for number in range(sample)
        for path in DETAILS.values()
    ]
    connection = http.client.HTTPConnection(urlsplit(sandbox.base_url).netloc, timeout=30)
    size = 0
    for path in paths:
        connection.request("GET", path)
        size += len(connection.getresponse().read())
    connection.close()
    return size / sample


def stored_table(stored: Mapping[str, int], authors: int, sent: float) -> Table:
    """Return one line per collection: kB per author, and the share of the `sent` bytes per author."""
    table = Table(title=f"Stored bytes per author; the API sent {sent / 1000:.1f} kB", title_justify="left")
    table.add_column("collection")
    table.add_column("kB per author", justify="right")
    table.add_column("of the answers", justify="right")
    total = sum(stored.values())
    for name, size in [*sorted(stored.items(), key=lambda each: -each[1]), ("all", total)]:
        table.add_row(name, f"{size / authors / 1000:.2f}", f"{size / authors / sent:.0%}")
    return table
