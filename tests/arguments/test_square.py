"""The arguments of `author_square`: what they mean, and in which words an invalid one is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.refusals import refusal
from xingtu_crawler.api import endpoints
from xingtu_crawler.api.endpoints import Endpoint, Platform
from xingtu_crawler.arguments.square import parse_square

ALL = ("base_info", "marketing_info", "rec_videos", "video_distribution")


def test_nothing_typed_means_the_defaults() -> None:
    arguments = parse_square({})
    assert arguments.queries[0].filters == {}
    assert arguments.max_pages is None
    assert arguments.details.platforms == (Platform.SHORT_VIDEO,)
    assert arguments.details.endpoints == ALL
    assert arguments.details.max_age == timedelta(hours=20)
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


def test_endpoints_none_is_the_search_only() -> None:
    assert parse_square({"endpoints": "None"}).details.endpoints == ()


def test_an_endpoint_that_is_registered_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    sixth = Endpoint("fans_profile", "/fans/v1", "author_fans_profile", "Fans (V1)")
    monkeypatch.setitem(endpoints.DETAILS, sixth.name, sixth)
    assert parse_square({}).details.endpoints == (*ALL, "fans_profile")
    assert parse_square({"endpoints": "fans_profile"}).details.endpoints == ("fans_profile",)


TAKES = (
    "author_square takes platform, endpoints, max_age, max_calls, max_authors, terminal, max_pages, restart, yes, "
    "queries_file, and the search filters of docs/search-filters.md."
)


@pytest.mark.parametrize("name", ["sample", "split", "where", "blueVerified", "_sample", "x"])
def test_a_name_that_no_spider_knows_is_refused(name: str) -> None:
    """As a filter it would narrow nothing, and the crawl would pay for everything."""
    assert refusal(parse_square, {name: "50"}) == (
        f"Unknown argument {name}=: {TAKES} To send it as a search filter anyway, write filter.{name}=VALUE."
    )


@pytest.mark.parametrize(("name", "near"), [("max_cost", "max_calls"), ("Keyword", "keyword")])
def test_the_nearest_name_is_proposed(name: str, near: str) -> None:
    assert f"did you mean {near}=?" in refusal(parse_square, {name: "50"})


@pytest.mark.parametrize(
    "value", ["美食 gender=FEMALE", "美食gender=FEMALE", "美食，gender＝FEMALE", "a&followerRange=1-2"]
)
def test_another_filter_in_a_value_is_refused(value: str) -> None:
    message = refusal(parse_square, {"keyword": value})
    assert "Give " in message
    assert message.endswith("or write filter.keyword=VALUE if this text belongs to the value.")
    assert parse_square({"filter.keyword": value}).queries[0].filters == {"keyword": value}
    assert parse_square({"keyword": "E=mc²"}).queries[0].filters == {"keyword": "E=mc²"}


def test_a_forced_filter_passes_unchecked() -> None:
    query = parse_square({"filter.platfrom": "Some Value", "filter.star_ids": "1"}).queries[0]
    assert query.filters == {"platfrom": "Some Value", "star_ids": "1"}
    assert query.warnings == (
        "filter.platfrom=Some Value: platfrom is sent exactly as given, unchecked.",
        "filter.star_ids=1: star_ids is sent exactly as given, unchecked.",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"platfrom": "SHORT_VIDEO"},
            (
                "Unknown argument platfrom=: did you mean platform=? "
                "To send it as a search filter anyway, write filter.platfrom=VALUE."
            ),
        ),
        (
            {"folower_range": "1-2"},
            (
                "Unknown argument folower_range=: did you mean follower_range=? "
                "To send it as a search filter anyway, write filter.folower_range=VALUE."
            ),
        ),
        (
            {"folowerRange": "1-2"},
            (
                "Unknown argument folowerRange=: did you mean followerRange=? "
                "To send it as a search filter anyway, write filter.folowerRange=VALUE."
            ),
        ),
        (
            {"maxPages": "2"},
            (
                "Unknown argument maxPages=: did you mean max_pages=? "
                "To send it as a search filter anyway, write filter.maxPages=VALUE."
            ),
        ),
        (
            {"star_ids": "1,2"},
            (
                "star_ids= belongs to the spider authors, not to author_square. "
                "To send it as a search filter anyway, write filter.star_ids=VALUE."
            ),
        ),
        (
            {"page": "2"},
            "page= cannot be a filter: the crawl reads the pages itself. Limit them with max_pages=.",
        ),
        (
            {"token": "abcd1234"},
            (
                "token= cannot be an argument, because arguments are logged and stored: "
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
                "It must be one of SHORT_VIDEO, LIVE_STREAMING, PICTURE_TEXT, SHORT_DRAMA."
            ),
        ),
        (
            {"platform": "抖音"},
            "platform=抖音: 抖音 is unknown; it must be one of SHORT_VIDEO, LIVE_STREAMING, PICTURE_TEXT, SHORT_DRAMA.",
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
                "It must be one of base_info, marketing_info, rec_videos, video_distribution, none."
            ),
        ),
        (
            {"endpoints": "none,base_info"},
            "endpoints=none,base_info: none cannot be combined with others; write endpoints=none for the search alone.",
        ),
        (
            {"endpoints": "search"},
            (
                "endpoints=search: the search always runs; name detail endpoints: "
                "base_info, marketing_info, rec_videos, video_distribution."
            ),
        ),
        (
            {"max_age": "1"},
            "max_age=1: the unit is missing; write one of 1s, 1m, 1h, 1d, 1w (seconds, minutes, hours, days, weeks).",
        ),
        (
            {"max_age": "1day"},
            "max_age=1day: not an age; write a number and s, m, h, d or w, for example max_age=12h, or max_age=0.",
        ),
        (
            {"max_age": "-1d"},
            "max_age=-1d: not an age; write a number and s, m, h, d or w, for example max_age=12h, or max_age=0.",
        ),
        (
            {"max_age": "999999999w"},
            "max_age=999999999w: longer than a hundred years; write a shorter age, for example max_age=52w.",
        ),
        (
            {"max_pages": "0"},
            "max_pages=0: not a whole number of 1 or more; leave max_pages out for no limit.",
        ),
        (
            {"max_calls": "1k"},
            "max_calls=1k: not a whole number of 1 or more; leave max_calls out for no limit.",
        ),
        (
            {"max_authors": "-5"},
            "max_authors=-5: not a whole number of 1 or more; leave max_authors out for no limit.",
        ),
    ],
)
def test_what_author_square_refuses(arguments: dict[str, str], message: str) -> None:
    assert refusal(parse_square, arguments) == message
