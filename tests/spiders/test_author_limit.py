"""`max_authors` where the ids are known beforehand."""

from __future__ import annotations

from xingtu_crawler.spiders.author_limit import AuthorLimit
from xingtu_crawler.storage.claims import DetailKey


def details(*star_ids: str, endpoint: str = "base_info") -> list[DetailKey]:
    return [DetailKey(endpoint, star_id, "SHORT_VIDEO") for star_id in star_ids]


def test_all_details_of_the_first_authors_pass() -> None:
    limit = AuthorLimit(2)
    assert limit.split(details("1", "1", "2")) == (details("1", "1", "2"), [], 2)
    assert limit.is_reached
    # Another endpoint, in a later batch: authors who have passed still pass.
    later = details("2", "3", "1", endpoint="rec_videos")
    assert limit.split(later) == ([later[0], later[2]], [later[1]], 0)


def test_authors_beyond_the_limit_do_not_pass() -> None:
    assert AuthorLimit(1).split(details("1", "2", "1")) == (details("1", "1"), details("2"), 1)


def test_without_a_limit_everything_passes_and_nothing_is_remembered() -> None:
    limit = AuthorLimit(None)
    for _ in range(2):
        assert limit.split(details("1", "2", "2")) == (details("1", "2", "2"), [], 2)
    assert not limit.is_reached


def test_a_limit_is_reached_by_authors_and_not_by_batches() -> None:
    limit = AuthorLimit(2)
    limit.split([])
    limit.split(details("1"))
    assert not limit.is_reached
