"""The arguments of `authors`: what they mean, and in which words an invalid one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.refusals import refusal
from xingtu_crawler.arguments.authors import parse_authors
from xingtu_crawler.arguments.square import parse_square

ONE_ID = {"star_ids": "6629722295873044494"}
AUTHORS_TAKES = (
    "authors takes star_ids, star_ids_file, missing, failed, stale, platform, endpoints, max_age, max_calls, "
    "max_authors, terminal."
)
NO_AUTHORS = (
    "No authors given: add -a star_ids=ID,ID or -a star_ids_file=PATH, or select them from MongoDB with -a missing=1, "
    "-a failed=1 or -a stale=7d."
)


def test_ids_keep_their_order_and_lose_duplicates() -> None:
    arguments = parse_authors({"star_ids": "20, 6629722295873044494，20,1"})
    assert arguments.star_ids == ("20", "6629722295873044494", "1")
    assert arguments.star_ids_file is None
    assert arguments.details == parse_square({}).details


def test_a_file_of_ids_is_named_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("1\n2\n", encoding="utf-8")
    arguments = parse_authors({"star_ids_file": str(path), "endpoints": "base_info"})
    assert arguments.star_ids is None
    assert arguments.star_ids_file == path
    assert arguments.details.endpoints == ("base_info",)


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ids.txt").write_text("1", encoding="utf-8")
    assert parse_authors({"star_ids_file": "~/ids.txt"}).star_ids_file == tmp_path / "ids.txt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, NO_AUTHORS),
        ({"missing": "0"}, NO_AUTHORS),
        ({"missing": "1", "stale": "7d"}, "missing= and stale= cannot be combined: give one of them."),
        ({"missing": "yes"}, "missing=yes: write 1 for yes or 0 for no."),
        (
            {"stale": "7"},
            "stale=7: the unit is missing; write one of 7s, 7m, 7h, 7d, 7w (seconds, minutes, hours, days, weeks).",
        ),
        (
            {"star_ids": "1", "star_ids_file": "ids.txt"},
            "star_ids= and star_ids_file= cannot be combined: give one of them.",
        ),
        ({"star_ids": "1,,2"}, "star_ids=1,,2: an element of the list is empty; remove the extra comma."),
        (
            {"star_ids": "12,abc"},
            "star_ids=12,abc: abc is not a star id: use 1 to 20 digits, the first one not 0.",
        ),
        (
            {"star_ids": "012"},
            "star_ids=012: 012 is not a star id: use 1 to 20 digits, the first one not 0.",
        ),
        (
            {"star_ids": "10²"},
            "star_ids=10²: 10² is not a star id: use 1 to 20 digits, the first one not 0.",
        ),
        (
            {"star_ids": "6.62972E+18"},
            "star_ids=6.62972E+18: 6.62972E+18 is an id that a spreadsheet has rounded; export the ids as text.",
        ),
        (
            {**ONE_ID, "endpoints": "none"},
            "endpoints=none: without endpoints there is nothing to fetch; leave endpoints out to fetch all.",
        ),
        (
            {**ONE_ID, "endpoints": "search"},
            (
                "endpoints=search: the spider authors does not search; name detail endpoints: "
                "base_info, marketing_info, rec_videos, video_distribution."
            ),
        ),
        (
            {**ONE_ID, "endpoints": "rec_video"},
            (
                "endpoints=rec_video: rec_video is unknown; did you mean rec_videos? "
                "It must be one of base_info, marketing_info, rec_videos, video_distribution."
            ),
        ),
        (
            {**ONE_ID, "keyword": "美食"},
            f"keyword= belongs to the spider author_square; {AUTHORS_TAKES}",
        ),
        (
            {**ONE_ID, "followerRange": "1-2"},
            f"followerRange= belongs to the spider author_square; {AUTHORS_TAKES}",
        ),
        ({**ONE_ID, "max_pages": "2"}, f"max_pages= belongs to the spider author_square; {AUTHORS_TAKES}"),
        ({**ONE_ID, "filter.x": "2"}, f"filter.x= belongs to the spider author_square; {AUTHORS_TAKES}"),
        ({"star_id": "1"}, "Unknown argument star_id=: did you mean star_ids=?"),
        ({**ONE_ID, "platfrom": "x"}, "Unknown argument platfrom=: did you mean platform=?"),
        ({**ONE_ID, "blue": "x"}, f"Unknown argument blue=: {AUTHORS_TAKES}"),
        (
            {**ONE_ID, "tokens": "abcd1234"},
            (
                "tokens= cannot be an argument, because arguments are logged and stored: "
                "set the environment variable JUSTONEAPI_TOKEN."
            ),
        ),
    ],
)
def test_what_authors_refuses(arguments: dict[str, str], message: str) -> None:
    assert refusal(parse_authors, arguments) == message


def test_a_home_directory_that_is_not_there() -> None:
    assert refusal(parse_authors, {"star_ids_file": "~no-such-user/ids.txt"}) == (
        "star_ids_file=~no-such-user/ids.txt: this home directory does not exist; write the full path."
    )
