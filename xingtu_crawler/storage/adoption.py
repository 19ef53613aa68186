"""Takes a planned page over into the dataset: from then on it is page 1 of an open sweep, which the crawl continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from xingtu_crawler.storage.planned import PlannedPages
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.sweeps import Sweeps


@dataclass(frozen=True, slots=True)
class Adoption:
    """What one run needs to take planned pages over."""

    pages: PlannedPages
    sweeps: Sweeps
    recorder: Recorder
    run_id: str

    async def __call__(self, query_key: str, filters: Mapping[str, str], newer_than: datetime) -> bool:
        """Take over the planned page of a query, if there is one that was fetched since `newer_than` (UTC).

        Returns whether there was. The page is removed last, so that a crash loses nothing.
        """
        page = await self.pages.find(query_key, newer_than=newer_than)
        if page is None:
            return False
        sweep = f"{query_key}-{self.run_id}"
        await self.sweeps.start(
            sweep, query_key=query_key, filters=filters, run_id=self.run_id, started_at=page.answer.fetched_at
        )
        await self.recorder.page(page.of_sweep(sweep))
        await self.pages.forget(page)
        return True
