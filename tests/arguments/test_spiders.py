"""Spider arguments: what they mean, what is refused before the first call and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api import endpoints
from xingtu_crawler.api.endpoints import Endpoint, Platform
from xingtu_crawler.arguments.filters import BY_ARGUMENT, FILTERS
from xingtu_crawler.arguments.spiders import (
    AUTHORS_ARGUMENTS,
    SQUARE_ARGUMENTS,
    parse_authors,
    parse_square,
    read_star_ids,
)
from xingtu_crawler.exceptions import ArgumentError

ALL = ("base_info", "marketing_info", "rec_videos", "video_distribution")
ONE_ID = {"star_ids": "6629722295873044494"}
AUTHORS_TAKES = (
    "authors takes star_ids, star_ids_file, missing, failed, stale, platform, endpoints, max_age, max_calls, "
    "max_authors, terminal."
)
NOBODY_NAMED = (
    "No authors are named: type -a star_ids=ID,ID or -a star_ids_file=PATH, or -a missing=1, failed=1 or stale=7d "
    "for those in MongoDB."
)


def square_refusal(arguments: dict[str, str]) -> str:
    with pytest.raises(ArgumentError) as caught:
        parse_square(arguments)
    return one_line(caught.value)


def authors_refusal(arguments: dict[str, str]) -> str:
    with pytest.raises(ArgumentError) as caught:
        parse_authors(arguments)
    return one_line(caught.value)


def one_line(error: ArgumentError) -> str:
    message = str(error)
    assert len(message.splitlines()) == 1
    message.encode()
    return message


def test_nothing_typed_means_the_defaults() -> None:
    arguments = parse_square({})
    assert arguments.queries[0].filters == {}
    assert arguments.max_pages is None
    assert arguments.details.platforms == (Platform.SHORT_VIDEO,)
    assert arguments.details.endpoints == ALL
    assert arguments.details.max_age == timedelta(days=1)
    assert arguments.details.max_calls is None
    assert arguments.details.max_authors is None


def test_everything_typed() -> None:
    arguments = parse_square(
        {
            "keyword": "美食",
            "search_type": "CONTENT",
            "followerRange": "100000-500000",
            "kol_price_type": "VIDEO_21_60S",
            "kol_price_range": "10000-50000",
            "platform": "short_video, LIVE_STREAMING,SHORT_VIDEO",
            "endpoints": "rec_videos,base_info,BASE_INFO",
            "max_pages": "010",
            "max_authors": "１００",
            "max_calls": "500",
            "max_age": "12h",
            "_job": "4c1d",
            "_version": "1",
        }
    )
    assert arguments.queries[0].filters == {
        "followerRange": "100000-500000",
        "keyword": "美食",
        "kolPriceRange": "10000-50000",
        "kolPriceType": "VIDEO_21_60S",
        "searchType": "CONTENT",
    }
    assert arguments.queries[0].warnings == ()
    assert arguments.details.platforms == (Platform.SHORT_VIDEO, Platform.LIVE_STREAMING)
    assert arguments.details.endpoints == ("base_info", "rec_videos")
    assert arguments.details.max_age == timedelta(hours=12)
    assert (arguments.max_pages, arguments.details.max_authors, arguments.details.max_calls) == (10, 100, 500)


def test_the_tables_say_of_endpoints_what_each_spider_takes() -> None:
    square, authors = (
        next(argument.meaning for argument in table if argument.name == "endpoints")
        for table in (SQUARE_ARGUMENTS, AUTHORS_ARGUMENTS)
    )
    assert parse_square({}).details.endpoints == parse_authors(ONE_ID).details.endpoints == ALL
    assert "left out: all of them" in square
    assert "left out: all of them" in authors
    assert "none: search only" in square
    assert "none" not in authors  # which refuses it


def test_endpoints_none_is_the_search_only() -> None:
    assert parse_square({"endpoints": "None"}).details.endpoints == ()


def test_an_endpoint_that_is_registered_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    sixth = Endpoint("fans_profile", "/fans/v1", "author_fans_profile", "Fans (V1)")
    monkeypatch.setitem(endpoints.DETAILS, sixth.name, sixth)
    assert parse_square({}).details.endpoints == (*ALL, "fans_profile")
    assert parse_square({"endpoints": "fans_profile"}).details.endpoints == ("fans_profile",)


@pytest.mark.parametrize(
    ("typed", "age"),
    [
        ("0", timedelta(0)),
        ("0d", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("1.5d", timedelta(hours=36)),
        ("２ W", timedelta(weeks=2)),
    ],
)
def test_ages(typed: str, age: timedelta) -> None:
    assert parse_square({"max_age": typed}).details.max_age == age


@given(st.text(alphabet="0123456789.smhdw ", max_size=12))
def test_any_age_is_usable_or_an_error(typed: str) -> None:
    try:
        age = parse_square({"max_age": typed}).details.max_age
    except ArgumentError:
        return
    assert age >= timedelta(0)
    assert datetime.now(UTC) - age < datetime.max.replace(tzinfo=UTC)


def test_an_unknown_name_like_no_other_is_a_filter_with_a_warning() -> None:
    query = parse_square({"blueVerified": "true"}).queries[0]
    assert query.filters == {"blueVerified": "true"}
    assert query.warnings == ("blueVerified=true: blueVerified is not a known search filter; it is sent as typed.",)


def test_a_forced_filter_passes_whatever_it_looks_like() -> None:
    query = parse_square({"filter.platfrom": "Some Value", "filter.star_ids": "1"}).queries[0]
    assert query.filters == {"platfrom": "Some Value", "star_ids": "1"}
    assert query.warnings == (
        "filter.platfrom=Some Value: platfrom is sent exactly as typed, unchecked.",
        "filter.star_ids=1: star_ids is sent exactly as typed, unchecked.",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"platfrom": "SHORT_VIDEO"},
            (
                "Unknown argument platfrom=: did you mean platform=? "
                "To send it as a search filter all the same, type -a filter.platfrom=VALUE."
            ),
        ),
        (
            {"folower_range": "1-2"},
            (
                "Unknown argument folower_range=: did you mean follower_range=? "
                "To send it as a search filter all the same, type -a filter.folower_range=VALUE."
            ),
        ),
        (
            {"folowerRange": "1-2"},
            (
                "Unknown argument folowerRange=: did you mean followerRange=? "
                "To send it as a search filter all the same, type -a filter.folowerRange=VALUE."
            ),
        ),
        (
            {"maxPages": "2"},
            (
                "Unknown argument maxPages=: did you mean max_pages=? "
                "To send it as a search filter all the same, type -a filter.maxPages=VALUE."
            ),
        ),
        (
            {"star_ids": "1,2"},
            (
                "star_ids= belongs to the spider authors, not to author_square. "
                "To send it as a search filter all the same, type -a filter.star_ids=VALUE."
            ),
        ),
        ({"page": "2"}, "page= cannot be a filter, the crawl turns the pages: limit it by max_pages=."),
        (
            {"token": "abcd1234"},
            (
                "token= cannot be an argument, arguments are logged and stored: "
                "set the environment variable JUSTONEAPI_TOKEN."
            ),
        ),
        (
            {"follower_range": "500-100"},
            "follower_range=500-100: the minimum is larger than the maximum; write follower_range=100-500.",
        ),
        (
            {"platform": "SHORTVIDEOS"},
            (
                "platform=SHORTVIDEOS: SHORTVIDEOS is unknown; did you mean SHORT_VIDEO? "
                "It is one of SHORT_VIDEO, LIVE_STREAMING, PICTURE_TEXT, SHORT_DRAMA."
            ),
        ),
        (
            {"platform": "抖音"},
            "platform=抖音: 抖音 is unknown; it is one of SHORT_VIDEO, LIVE_STREAMING, PICTURE_TEXT, SHORT_DRAMA.",
        ),
        ({"platform": ""}, "platform=: the value is missing; give one or leave the argument out."),
        (
            {"endpoints": "base_info,"},
            "endpoints=base_info,: an element of the list is empty; remove the extra comma.",
        ),
        (
            {"endpoints": "author_base_info"},
            (
                "endpoints=author_base_info: author_base_info is unknown; did you mean base_info? "
                "It is one of base_info, marketing_info, rec_videos, video_distribution, none."
            ),
        ),
        (
            {"endpoints": "none,base_info"},
            "endpoints=none,base_info: none contradicts the others; write endpoints=none for the search alone.",
        ),
        (
            {"endpoints": "search"},
            (
                "endpoints=search: the search always runs; name the detail endpoints among "
                "base_info, marketing_info, rec_videos, video_distribution."
            ),
        ),
        (
            {"max_age": "1"},
            "max_age=1: the unit is missing; write one of 1s, 1m, 1h, 1d, 1w (seconds, minutes, hours, days, weeks).",
        ),
        (
            {"max_age": "1day"},
            "max_age=1day: not an age; write a number and s, m, h, d or w, as in max_age=12h, or max_age=0.",
        ),
        (
            {"max_age": "-1d"},
            "max_age=-1d: not an age; write a number and s, m, h, d or w, as in max_age=12h, or max_age=0.",
        ),
        (
            {"max_age": "999999999w"},
            "max_age=999999999w: more than a hundred years; write a shorter age, as in max_age=52w.",
        ),
        (
            {"max_pages": "0"},
            "max_pages=0: not a whole number from 1 up; leave max_pages out for no limit.",
        ),
        (
            {"max_calls": "1k"},
            "max_calls=1k: not a whole number from 1 up; leave max_calls out for no limit.",
        ),
        (
            {"max_authors": "-5"},
            "max_authors=-5: not a whole number from 1 up; leave max_authors out for no limit.",
        ),
    ],
)
def test_what_author_square_refuses(arguments: dict[str, str], message: str) -> None:
    assert square_refusal(arguments) == message


def test_ids_keep_their_order_and_lose_duplicates() -> None:
    arguments = parse_authors({"star_ids": "20, 6629722295873044494，20,1", "_job": "x"})
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
        ({}, NOBODY_NAMED),
        ({"missing": "0"}, NOBODY_NAMED),
        ({"missing": "1", "stale": "7d"}, "missing= and stale= contradict each other: give one of them."),
        ({"missing": "yes"}, "missing=yes: write 1 for yes or 0 for no."),
        (
            {"stale": "7"},
            "stale=7: the unit is missing; write one of 7s, 7m, 7h, 7d, 7w (seconds, minutes, hours, days, weeks).",
        ),
        (
            {"star_ids": "1", "star_ids_file": "ids.txt"},
            "star_ids= and star_ids_file= contradict each other: give one of them.",
        ),
        ({"star_ids": "1,,2"}, "star_ids=1,,2: an element of the list is empty; remove the extra comma."),
        (
            {"star_ids": "12,abc"},
            "star_ids=12,abc: abc is not a star id: digits only, at most 20, the first not 0.",
        ),
        ({"star_ids": "012"}, "star_ids=012: 012 is not a star id: digits only, at most 20, the first not 0."),
        ({"star_ids": "10²"}, "star_ids=10²: 10² is not a star id: digits only, at most 20, the first not 0."),
        (
            {"star_ids": "6.62972E+18"},
            "star_ids=6.62972E+18: 6.62972E+18 is a number that a spreadsheet has rounded; export the ids as text.",
        ),
        (
            {**ONE_ID, "endpoints": "none"},
            "endpoints=none: without endpoints there is nothing to fetch; leave endpoints out to fetch all.",
        ),
        (
            {**ONE_ID, "endpoints": "search"},
            (
                "endpoints=search: there is no search in the spider authors; name the detail endpoints among "
                "base_info, marketing_info, rec_videos, video_distribution."
            ),
        ),
        (
            {**ONE_ID, "endpoints": "rec_video"},
            (
                "endpoints=rec_video: rec_video is unknown; did you mean rec_videos? "
                "It is one of base_info, marketing_info, rec_videos, video_distribution."
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
                "tokens= cannot be an argument, arguments are logged and stored: "
                "set the environment variable JUSTONEAPI_TOKEN."
            ),
        ),
    ],
)
def test_what_authors_refuses(arguments: dict[str, str], message: str) -> None:
    assert authors_refusal(arguments) == message


def test_a_home_directory_that_is_not_there() -> None:
    assert authors_refusal({"star_ids_file": "~no-such-user/ids.txt"}) == (
        "star_ids_file=~no-such-user/ids.txt: there is no such home directory; write the path out."
    )


def file_refusal(path: Path) -> str:
    return authors_refusal({"star_ids_file": str(path)})


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    assert file_refusal(missing) == f"{missing}: there is no such file."
    assert file_refusal(tmp_path) == f"{tmp_path} is a directory: give a text file with one star id per line."
    pipe = Path("/dev/null")
    assert file_refusal(pipe) == f"{pipe} is not a regular file: it is read twice, write the lines to a file."
    long = tmp_path / ("x" * 300)
    assert file_refusal(long) == f"{long} cannot be read: File name too long."


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", " holds no star id: write one per line."),
        (b"\xef\xbb\xbf# only a comment\n\n , ,\n", " holds no star id: write one per line."),
        ("1\n2\n".encode("utf-16"), " is not UTF-8 text: save it as UTF-8."),
        (b"1\n\nstar_id\n", ", line 3: star_id is not a star id: digits only, at most 20, the first not 0."),
        (b"1\r\n2,x7\r\n", ", line 2: x7 is not a star id: digits only, at most 20, the first not 0."),
        (
            b"1\n6.63E+18",
            ", line 2: 6.63E+18 is a number that a spreadsheet has rounded; export the ids as text.",
        ),
        (
            b"1\n123456789012345678901",
            ", line 2: 123456789012345678901 is not a star id: digits only, at most 20, the first not 0.",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    assert file_refusal(path) == f"{path}{problem}"


def test_a_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xef\xbb\xbf1\r\n\r\n# 7,8\r\n2, 3 ,,1 # four is 4, not wanted\r\n 6629722295873044494,\r\n5")
    assert list(read_star_ids(path)) == ["1", "2", "3", "1", "6629722295873044494", "5"]


def test_a_file_is_read_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("1\n2\nwrong\n", encoding="utf-8")
    ids = read_star_ids(path)
    assert [next(ids), next(ids)] == ["1", "2"]
    with pytest.raises(ArgumentError, match="line 3"):
        next(ids)


def test_lines_longer_than_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    ids = [str(6_000_000_000_000_000_000 + n) for n in range(10_000)]
    path.write_text(f"{','.join(ids)}\n# {'comment, ' * 20_000}\n7 # {'x' * 100_000}\n8\n", encoding="utf-8")
    assert list(read_star_ids(path)) == [*ids, "7", "8"]
    path.write_text("1\n" + "9" * 300_000, encoding="utf-8")
    assert file_refusal(path).startswith(f"{path}, line 2: 999")
    assert len(file_refusal(path)) < len(str(path)) + 150


@given(
    st.lists(st.integers(min_value=1, max_value=10**20 - 1), min_size=1), st.sampled_from(["\n", ",", " ,\n", "\r\n"])
)
def test_a_file_gives_back_its_ids(tmp_path_factory: pytest.TempPathFactory, ids: list[int], separator: str) -> None:
    path = tmp_path_factory.mktemp("ids") / "ids.txt"
    path.write_text(separator.join(map(str, ids)), encoding="utf-8", newline="")
    assert list(read_star_ids(path)) == list(map(str, ids))


def test_the_tables_hold_no_name_twice_and_one_sentence_each() -> None:
    for table in (SQUARE_ARGUMENTS, AUTHORS_ARGUMENTS):
        names = [argument.name for argument in table]
        assert len(set(names)) == len(names)
        assert all(argument.meaning.endswith(".") and "\n" not in argument.meaning for argument in table)
    assert not {argument.name for argument in SQUARE_ARGUMENTS} & {*FILTERS, *BY_ARGUMENT}


def test_every_argument_of_the_tables_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("1", encoding="utf-8")
    queries = tmp_path / "queries.txt"
    queries.write_text("gender=FEMALE", encoding="utf-8")
    values = {
        "platform": "SHORT_DRAMA",
        "endpoints": "base_info",
        "max_age": "1h",
        "max_calls": "1",
        "max_authors": "1",
        "max_pages": "1",
        "star_ids": "1",
        "star_ids_file": str(path),
        "missing": "1",
        "failed": "1",
        "stale": "7d",
        "queries_file": str(queries),
    }
    for argument in SQUARE_ARGUMENTS:
        (query,) = parse_square({argument.name: argument.default or values[argument.name]}).queries
        assert query.filters == ({"gender": "FEMALE"} if argument.name == "queries_file" else {})
    for argument in AUTHORS_ARGUMENTS:
        whose = argument.name in {"star_ids", "star_ids_file", "missing", "failed", "stale"}
        own = {argument.name: values[argument.name] if whose else argument.default or values[argument.name]}
        ids = {} if whose else ONE_ID
        assert parse_authors({**ids, **own}).details.max_age > timedelta(0)
