"""The documented sample payloads, by endpoint name, and whose they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
STAR_ID = "6629722295873044494"


def _data(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))["data"]


@pytest.fixture(scope="session")
def payloads() -> dict[str, Any]:
    """The payload of each endpoint's sample; a test that changes one copies it first."""
    return {
        "base_info": _data("author_base_info"),
        "marketing_info": _data("author_marketing_info"),
        "rec_videos": _data("author_rec_videos"),
        "video_distribution": _data("author_video_distribution"),
        "search": _data("author_search")["authors"][0],
    }


@pytest.fixture(scope="session")
def search_page() -> dict[str, Any]:
    """`data` of the sample of the author search."""
    page: dict[str, Any] = _data("author_search")
    return page


@pytest.fixture(scope="session")
def star_ids(payloads: dict[str, Any]) -> dict[str, str]:
    """The author of each sample."""
    return dict.fromkeys(payloads, STAR_ID) | {"search": payloads["search"]["star_id"]}
