"""The filters of the author search as a table: name, kind, values, default and source of each.

`values` reads the value of one filter, `query` builds a whole query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain

from xingtu_crawler.arguments import vocabulary


class Kind(StrEnum):
    """The form of a filter's value."""

    TEXT = "text"
    CODE = "one code"
    OPEN_CODE = "one code, others pass with a warning"
    CODES = "codes, comma separated"
    LABELS = "labels, comma separated"
    INTEGERS = "min-max, whole numbers"
    DECIMALS = "min-max, decimals allowed"
    FRACTIONS = "min-max, fractions from 0 to 1"
    DAYS = "days:min-max, either end may be left out"
    FLAG = "true or false"


class Source(StrEnum):
    """The source of a filter; the API's documentation page is older than its OpenAPI description."""

    PAGE = "documentation page"
    OPENAPI = "OpenAPI"


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """One filter of the author search.

    `name` is the API's. `codes` maps each code to its documented aliases, `labels` each heading to the labels under
    it. `headings_count`: a heading is a label too. `exhaustive`: the documentation lists every label. `numbered`: a
    label may be given by its number. `default` is the documented behaviour of the API without the filter.
    """

    name: str
    kind: Kind
    meaning: str
    example: str
    source: Source = Source.OPENAPI
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headings_count: bool = True
    exhaustive: bool = True
    numbered: bool = False
    default: str | None = None

    @property
    def argument(self) -> str:
        """The name in snake case, as users write it after `-a`."""
        return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), self.name)

    @property
    def known(self) -> dict[str, str]:
        """Every documented value and alias, mapped to the value that is sent for it."""
        headings = self.labels if self.headings_count else ()
        pairs = [(value, value) for value in chain(self.codes, headings, *self.labels.values())]
        pairs += [(alias, code) for code, aliases in self.codes.items() for alias in aliases]
        return dict(pairs)


_FLAG: dict[str, tuple[str, ...]] = {"true": ("1", "yes"), "false": ("0", "no")}

_TABLE = (
    Filter("keyword", Kind.TEXT, "Search keyword.", "美食", Source.PAGE, default=""),
    Filter(
        "searchType",
        Kind.CODE,
        "Where to search for the keyword: in the nickname or in the content.",
        "CONTENT",
        Source.PAGE,
        codes={"NICKNAME": (), "CONTENT": ()},
        default="NICKNAME",
    ),
    Filter("followerRange", Kind.INTEGERS, "Followers, raw counts.", "100000-500000", Source.PAGE),
    Filter(
        "kolPriceType",
        Kind.OPEN_CODE,
        "Price of the rate card that `kol_price_range` refers to; sent exactly as given.",
        "VIDEO_21_60S",
        Source.PAGE,
        codes=vocabulary.PRICE_TYPES,
    ),
    Filter("kolPriceRange", Kind.INTEGERS, "Price in yuan; needs `kol_price_type`.", "10000-50000", Source.PAGE),
    Filter(
        "contentTag",
        Kind.LABELS,
        "Author categories, first or second level.",
        "美妆,穿搭,剧情搞笑",
        Source.PAGE,
        labels=vocabulary.CONTENT_TAGS,
    ),
    Filter(
        "sort",
        Kind.CODE,
        "Order of the results: by followers, descending, or by the platform's own score.",
        "FANS",
        codes={"DEFAULT": (), "FANS": ()},
        default="FANS",
    ),
    Filter(
        "marketingTarget",
        Kind.CODE,
        "Marketing goal.",
        "BRAND_EXPOSURE",
        codes=vocabulary.MARKETING_TARGETS,
    ),
    Filter(
        "industry",
        Kind.CODE,
        "Recommended industry.",
        "FOOD_AND_BEVERAGE",
        codes=vocabulary.INDUSTRIES,
        default="ALL",
    ),
    Filter("isSuperstar", Kind.FLAG, "Celebrities only.", "true", codes=_FLAG, default="false"),
    Filter(
        "contentTheme",
        Kind.LABELS,
        "Content themes, second level.",
        "亲子活动,宝宝辅食",
        labels=vocabulary.CONTENT_THEMES,
        headings_count=False,
        exhaustive=False,
    ),
    Filter(
        "personaTag",
        Kind.LABELS,
        "Persona or background of the author; labels or their numbers.",
        "大学生,美妆创作者",
        labels=vocabulary.PERSONA_TAGS,
        headings_count=False,
        numbered=True,
    ),
    Filter("gender", Kind.CODE, "Gender of the author.", "FEMALE", codes=vocabulary.GENDERS),
    Filter(
        "location",
        Kind.LABELS,
        "Provinces and cities in Chinese, with their suffix.",
        "广东省,深圳市",
        labels=vocabulary.PROVINCES,
        headings_count=False,
        exhaustive=False,
    ),
    Filter(
        "tonalityTag",
        Kind.LABELS,
        "Tonality of the author, first or second level.",
        "精致达人,设计师",
        labels=vocabulary.TONALITY_TAGS,
    ),
    Filter("connectedUserRange", Kind.INTEGERS, "Connected users, raw counts.", "1000000-3000000"),
    Filter(
        "audienceImage",
        Kind.CODES,
        "Profile of the audience.",
        "GENDER_FEMALE_50,CROWD_REFINED_MOTHER",
        codes=vocabulary.IMAGES,
    ),
    Filter(
        "fansImage",
        Kind.CODES,
        "Profile of the fans.",
        "GENDER_FEMALE_50,CROWD_REFINED_MOTHER",
        codes=vocabulary.IMAGES,
    ),
    Filter("expectedPlayRange", Kind.INTEGERS, "Expected plays, raw counts.", "1000000-3000000"),
    Filter("expectedCpmRange", Kind.DECIMALS, "Expected cost per thousand plays, yuan.", "0-10"),
    Filter("expectedCpeRange", Kind.DECIMALS, "Expected cost per engagement, yuan.", "0-1"),
    Filter("interactionRateRange", Kind.FRACTIONS, "Interaction rate; 0.01 is 1%.", "0.01-1"),
    Filter("completionRateRange", Kind.FRACTIONS, "Completion rate; 0.1 is 10%.", "0.1-1"),
    Filter("viralRateRange", Kind.FRACTIONS, "Viral content rate; 0.1 is 10%.", "0.1-0.25"),
    Filter(
        "progressTaskRange",
        Kind.DAYS,
        "Number of tasks in progress within a number of days: `30:8-` means 8 or more within 30 days.",
        "30:8-",
    ),
    Filter("isCuratedAuthor", Kind.FLAG, "Curated authors only.", "true", codes=_FLAG, default="false"),
    Filter(
        "authorList",
        Kind.CODE,
        "A list of authors that the platform curates for an activity.",
        "SHORT_DRAMA_ACTORS",
        codes=vocabulary.AUTHOR_LISTS,
    ),
)

FILTERS: dict[str, Filter] = {filter_.name: filter_ for filter_ in _TABLE}
"""Every known filter by the API's name; the filters of the documentation page come first."""

BY_ARGUMENT: dict[str, Filter] = {filter_.argument: filter_ for filter_ in _TABLE}
"""The same filters by their name in snake case; some, such as `keyword`, have the same name in both."""


def find(name: str) -> Filter | None:
    """Return the filter with this name in either spelling, or None."""
    return FILTERS.get(name) or BY_ARGUMENT.get(name)
