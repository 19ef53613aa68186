"""Reasons for quarantine, without what differs from answer to answer."""

from __future__ import annotations

from xingtu_crawler.items.validation import without_ids


def test_reasons_lose_their_ids_and_nothing_else() -> None:
    assert without_ids("price_info.0.author_id is '123456' and not '7'") == "price_info.0.author_id is '…' and not '7'"
    assert without_ids("code 301") == "code 301"
