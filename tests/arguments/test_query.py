"""Queries: what is understood, what is warned about, what is refused and in which words, and that keys are stable."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.exceptions import ArgumentError

PRICE_TYPE = {"kol_price_type": "VIDEO_21_60S"}


def build(**filters: str) -> AuthorQuery:
    return AuthorQuery.build(filters)


def refusal(filters: dict[str, str]) -> str:
    with pytest.raises(ArgumentError) as caught:
        AuthorQuery.build(filters)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    message.encode()
    return message


def test_both_spellings_give_the_api_names_sorted() -> None:
    query = AuthorQuery.build({"search_type": "CONTENT", "keyword": "美食", "followerRange": "100000-500000"})
    assert list(query.filters.items()) == [
        ("followerRange", "100000-500000"),
        ("keyword", "美食"),
        ("searchType", "CONTENT"),
    ]
    assert query.warnings == ()
    assert query.describe() == "followerRange=100000-500000 keyword=美食 searchType=CONTENT"


def test_no_filter_at_all_is_a_query() -> None:
    assert AuthorQuery.build({}).filters == {}
    assert AuthorQuery.build({}).describe() == "all authors"


def test_a_long_value_is_cut_in_the_description_only() -> None:
    query = build(keyword="长" * 500)
    assert len(query.describe()) < 100
    assert query.filters["keyword"] == "长" * 500


@pytest.mark.parametrize(
    ("name", "typed", "sent"),
    [
        ("follower_range", " 0100 000 ".replace(" ", "") + " - 0500000", "100000-500000"),
        ("follower_range", "１０００００－５０００００", "100000-500000"),
        ("follower_range", "100000–500000", "100000-500000"),
        ("follower_range", "100000～500000", "100000-500000"),
        ("follower_range", "5000-5000", "5000-5000"),
        ("expected_cpm_range", "0.50-10.0", "0.5-10"),
        ("interaction_rate_range", "0.010-1.00", "0.01-1"),
        ("progress_task_range", "030:8-", "30:8-"),
        ("progress_task_range", "30：-8", "30:-8"),
        ("progress_task_range", "30:2-08", "30:2-8"),
        ("search_type", "content", "CONTENT"),
        ("gender", "1", "MALE"),
        ("gender", "女性", "FEMALE"),
        ("industry", "3c及电器", "ELECTRONICS_AND_APPLIANCES"),
        ("is_superstar", "True", "true"),
        ("is_curated_author", "0", "false"),
        ("author_list", "短剧演员", "SHORT_DRAMA_ACTORS"),
        ("audience_image", "精致妈妈, gender_female_50", "CROWD_REFINED_MOTHER,GENDER_FEMALE_50"),
        ("content_tag", "美妆， 剧情搞笑、美妆", "剧情搞笑,美妆"),
        ("location", "深圳市,广东省", "广东省,深圳市"),
        ("persona_tag", "大学生,12345", "12345,大学生"),
        ("keyword", "\u3000减脂 餐\ufeff ", "减脂 餐"),
        ("keyword", "cafe\u0301", "caf\u00e9"),
    ],
)
def test_what_is_understood(name: str, typed: str, sent: str) -> None:
    query = AuthorQuery.build({name: typed})
    assert list(query.filters.values()) == [sent]
    assert query.warnings == ()


@pytest.mark.parametrize(
    "price_type", ["视频21_60s", "VIDEO_21_60S", "PRODUCT_PLACEMENT_VIDEO", "CUSTOM_VIDEO", "抖音短视频共创_参与达人"]
)
def test_every_generation_of_price_types_is_sent_as_typed(price_type: str) -> None:
    query = build(kol_price_type=price_type, kol_price_range="10000-50000")
    assert query.filters == {"kolPriceRange": "10000-50000", "kolPriceType": price_type}
    assert query.warnings == ()


@pytest.mark.parametrize(
    ("filters", "warning"),
    [
        (
            {"kol_price_type": "video_21_60s"},
            (
                "kol_price_type=video_21_60s: video_21_60s is not among the documented values of kolPriceType "
                "(did you mean VIDEO_21_60S?); sent as given."
            ),
        ),
        (
            {"kolPriceType": "千寻"},
            "kolPriceType=千寻: 千寻 is not among the documented values of kolPriceType; sent as given.",
        ),
        (
            {"content_tag": "天文馆"},
            "content_tag=天文馆: 天文馆 is not among the documented values of contentTag; sent as given.",
        ),
        (
            {"location": "广东"},
            "location=广东: 广东 is not among the documented values of location (did you mean 广东省?); sent as given.",
        ),
        (
            {"follower_range": "010-100"},
            "follower_range=10-100: read as raw follower counts, 10 to 100 followers.",
        ),
        ({"filter.gender": "Other "}, "filter.gender=Other: gender is sent exactly as given, unchecked."),
    ],
)
def test_what_is_sent_with_a_warning(filters: dict[str, str], warning: str) -> None:
    query = AuthorQuery.build(filters)
    assert query.warnings == (warning,)
    assert [*query.filters.values()] == [value.replace("010", "10") for value in filters.values()]


def test_the_followers_warning_ends_above_a_thousand() -> None:
    assert build(follower_range="1-1000").warnings
    assert not build(follower_range="1-1001").warnings


def test_undocumented_labels_pass_without_a_warning() -> None:
    assert build(location="深圳市,吉林市", content_theme="天文观测").warnings == ()


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (
            {"follower_range": "500-100"},
            "follower_range=500-100: the minimum is larger than the maximum; write follower_range=100-500.",
        ),
        (
            {"followerRange": "10k-20k"},
            "followerRange=10k-20k: not min-max in whole numbers; write followerRange=10000-20000.",
        ),
        (
            {"follower_range": "1.5万-10万"},
            "follower_range=1.5万-10万: not min-max in whole numbers; write follower_range=15000-100000.",
        ),
        (
            {"follower_range": "20K-10K"},
            "follower_range=20K-10K: not min-max in whole numbers; write follower_range=10000-20000.",
        ),
        (
            {"follower_range": "10,000-20,000"},
            "follower_range=10,000-20,000: not min-max in whole numbers; write follower_range=10000-20000.",
        ),
        (
            {"follower_range": "10-20k"},  # ten, or ten thousand?
            "follower_range=10-20k: not min-max in whole numbers; write it like follower_range=100000-500000.",
        ),
        (
            {"follower_range": "1.5-3"},
            "follower_range=1.5-3: not min-max in whole numbers; write it like follower_range=100000-500000.",
        ),
        (
            {"follower_range": "10²-200"},
            "follower_range=10²-200: not min-max in whole numbers; write it like follower_range=100000-500000.",
        ),
        (
            {"follower_range": "10000"},
            "follower_range=10000: not min-max in whole numbers; write it like follower_range=100000-500000.",
        ),
        (
            {"follower_range": "10000-"},
            "follower_range=10000-: the maximum is missing; for an open end write follower_range=10000-1000000000.",
        ),
        (
            {"follower_range": "-5000"},
            "follower_range=-5000: the minimum is missing; write follower_range=0-5000.",
        ),
        (
            {"completion_rate_range": "0.5-"},
            "completion_rate_range=0.5-: the maximum is missing; for an open end write completion_rate_range=0.5-1.",
        ),
        (
            {"interaction_rate_range": "1%-5%"},
            "interaction_rate_range=1%-5%: not min-max in fractions; write interaction_rate_range=0.01-0.05.",
        ),
        (
            {"interaction_rate_range": "1-5"},
            (
                "interaction_rate_range=1-5: rates are fractions from 0 to 1 (0.01 is 1%); "
                "write interaction_rate_range=0.01-0.05."
            ),
        ),
        (
            {"interaction_rate_range": "0-500"},
            (
                "interaction_rate_range=0-500: rates are fractions from 0 to 1 (0.01 is 1%); "
                "write it like interaction_rate_range=0.01-1."
            ),
        ),
        (
            {"expected_cpm_range": "cheap"},
            "expected_cpm_range=cheap: not min-max in numbers; write it like expected_cpm_range=0-10.",
        ),
        (
            {"progress_task_range": "8-10"},
            "progress_task_range=8-10: not days:min-max in whole numbers; write it like progress_task_range=30:8-.",
        ),
        (
            {"progress_task_range": "0:8-10"},
            (
                "progress_task_range=0:8-10: the number of days must be at least 1; "
                "write it like progress_task_range=30:8-."
            ),
        ),
        (
            {"progress_task_range": "30:9-8"},
            "progress_task_range=30:9-8: the minimum is larger than the maximum; write progress_task_range=30:8-9.",
        ),
        (
            {"kol_price_range": "1-2"},
            "kol_price_range=1-2: a price range needs kol_price_type=, for example kol_price_type=VIDEO_21_60S.",
        ),
        (
            {"kolPriceRange": "1-2"},
            "kolPriceRange=1-2: a price range needs kolPriceType=, for example kolPriceType=VIDEO_21_60S.",
        ),
        (
            {"search_type": "CONTNET"},
            (
                "search_type=CONTNET: CONTNET is not a value of searchType; did you mean CONTENT? "
                "It must be one of NICKNAME, CONTENT."
            ),
        ),
        ({"gender": "5"}, "gender=5: 5 is not a value of gender; it must be one of MALE, FEMALE."),
        (
            {"industry": "GAME"},
            (
                "industry=GAME: GAME is not a value of industry; did you mean GAMES? "
                "It must be one of the codes in docs/search-filters.md."
            ),
        ),
        (
            {"fans_image": "AGE_18_23,宇航员协会"},
            (
                "fans_image=AGE_18_23,宇航员协会: 宇航员协会 is not a value of fansImage; "
                "it must be one of the codes in docs/search-filters.md."
            ),
        ),
        (
            {"is_superstar": "maybe"},
            "is_superstar=maybe: maybe is not a value of isSuperstar; it must be one of true, false.",
        ),
        (
            {"content_tag": "美妆,,穿搭"},
            "content_tag=美妆,,穿搭: an element of the list is empty; remove the extra comma.",
        ),
        ({"keyword": " \u3000"}, "keyword=: the value is missing; give one or leave the argument out."),
        ({"keyword": "a\nb"}, "keyword=a\\nb: the value contains a character that is not text; remove it."),
        ({"keyword": "a\udc80"}, "keyword=a\\udc80: the value contains a character that is not text; remove it."),
        (
            {"follower_range": "1-2", "followerRange": "1-2"},
            "follower_range= and followerRange= are the same filter: give one of them.",
        ),
        (
            {"gender": "MALE", "filter.gender": "MALE"},
            "gender= and filter.gender= are the same filter: give one of them.",
        ),
        (
            {"follower-range": "1-2"},
            "follower-range= is not a filter name: use a letter, then letters, digits and underscores.",
        ),
        ({"filter.": "1"}, "filter.= is not a filter name: use a letter, then letters, digits and underscores."),
        (
            {"newFilter": "x"},
            "Unknown search filter newFilter=: to send it anyway, write filter.newFilter=VALUE.",
        ),
        (
            {"page": "3"},
            "page= cannot be a filter: the crawl reads the pages itself. Limit them with max_pages=.",
        ),
        (
            {"filter.page": "3"},
            "filter.page= cannot be a filter: the crawl reads the pages itself. Limit them with max_pages=.",
        ),
    ],
)
def test_what_is_refused_and_in_which_words(filters: dict[str, str], message: str) -> None:
    assert refusal(filters) == message


@pytest.mark.parametrize("name", ["token", "Token", "tokn", "filter.token", "JUSTONEAPI_TOKEN", "api_key", "key"])
def test_a_token_is_refused_and_not_repeated(name: str) -> None:
    message = refusal({name: "abcd1234"})
    assert message == (
        f"{name}= cannot be an argument, because arguments are logged and stored: "
        "set the environment variable JUSTONEAPI_TOKEN."
    )


def test_a_forced_filter_is_neither_renamed_nor_checked() -> None:
    query = AuthorQuery.build({"filter.follower_range": "10k - 20k", "filter.newOne": "Ａ"})
    assert query.filters == {"follower_range": "10k - 20k", "newOne": "Ａ"}
    assert len(query.warnings) == 2


def test_a_number_of_any_length_is_an_error_and_not_a_crash() -> None:
    assert "not min-max in whole numbers" in refusal({"follower_range": f"1-{'9' * 5000}"})
    assert len(refusal({"follower_range": f"1-{'9' * 5000}"})) < 250


def test_the_key_is_fixed_for_ever() -> None:
    query = build(keyword="美食", follower_range="100000-500000")
    assert query.key == "20a0da9be6690940"
    assert AuthorQuery.build({}).key == "44136fa355b3678a"


def test_a_query_from_stored_filters_is_the_same_query() -> None:
    query = build(keyword="美食", follower_range="10-100")
    stored = AuthorQuery(dict(reversed(query.filters.items())))
    assert stored == query
    assert stored.key == query.key
    assert len({stored, query}) == 1
    assert query != build(keyword="美食")


WHOLE = st.integers(min_value=0, max_value=10**15 - 1)


@given(WHOLE, WHOLE)
def test_whole_ranges_are_taken_as_they_are_or_the_swapped_form_is_valid(low: int, high: int) -> None:
    if low <= high:
        query = build(follower_range=f"{low}-{high}")
        assert query.filters["followerRange"] == f"{low}-{high}"
        assert bool(query.warnings) is (high <= 1000)
    else:
        advice = refusal({"follower_range": f"{low}-{high}"}).rpartition("write follower_range=")[2].rstrip(".")
        assert build(follower_range=advice).filters["followerRange"] == f"{high}-{low}"


@given(st.decimals(min_value=0, max_value=1, places=6), st.decimals(min_value=0, max_value=1, places=6))
def test_fractions_keep_their_value_and_are_canonical(one: Decimal, other: Decimal) -> None:
    low, high = sorted((f"{one:f}", f"{other:f}"))
    sent = build(viral_rate_range=f"{low}-{high}").filters["viralRateRange"]
    assert [float(end) for end in sent.split("-")] == [float(low), float(high)]
    assert build(viralRateRange=sent).filters["viralRateRange"] == sent


@given(st.text(max_size=30))
def test_any_text_is_a_canonical_range_or_one_line_of_error(text: str) -> None:
    for name in ("follower_range", "expected_cpe_range", "viral_rate_range", "progress_task_range"):
        try:
            query = AuthorQuery.build({name: text})
        except ArgumentError:
            refusal({name: text})
        else:
            assert AuthorQuery.build({name: query.filters[next(iter(query.filters))]}) == query


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "keyword": st.sampled_from(["美食", "健身"]),
        "search_type": st.sampled_from(["CONTENT", "NICKNAME"]),
        "content_tag": st.lists(st.sampled_from(["美妆", "穿搭", "搞笑", "3C数码"]), min_size=1).map(",".join),
        "gender": st.sampled_from(["MALE", "1", "男性", "female"]),
    },
)
CAMEL = {"search_type": "searchType", "content_tag": "contentTag"}


@given(FILTERS, st.randoms(use_true_random=False))
def test_the_same_query_has_the_same_key_however_typed(filters: dict[str, str], random: Random) -> None:
    items = list(filters.items())
    random.shuffle(items)
    retyped: dict[str, str] = {}
    for name, value in items:
        elements = value.split(",")
        random.shuffle(elements)
        retyped[CAMEL.get(name, name)] = f" {' ， '.join(elements).lower()} "
    assert AuthorQuery.build(retyped).key == AuthorQuery.build(filters).key


@given(FILTERS, FILTERS)
def test_different_filters_have_different_keys(one: dict[str, str], other: dict[str, str]) -> None:
    a, b = AuthorQuery.build(one), AuthorQuery.build(other)
    assert (a.key == b.key) is (a.filters == b.filters)
