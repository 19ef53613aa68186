"""Types the payload of an answer: lenient about every field, strict about whose answer it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.answers import DetailAnswer, SearchAnswer
from xingtu_crawler.items.page import SearchPage, parse_page
from xingtu_crawler.items.parsing import Parsed, parse
from xingtu_crawler.items.search import star_id_of

_NUMBER = re.compile(r"\d{5,}")


@dataclass(slots=True)
class ValidDetail:
    """A detail answer and its typed payload."""

    answer: DetailAnswer
    parsed: Parsed = field(repr=False)

    def __str__(self) -> str:
        return str(self.answer)


@dataclass(slots=True)
class ValidPage:
    """A search page: the typed record of each author by rank (from 1), and the elements that are no author's record."""

    answer: SearchAnswer
    page: SearchPage = field(repr=False)
    authors: dict[int, tuple[str, Parsed]] = field(repr=False, default_factory=dict)
    misfits: dict[int, tuple[str, bytes]] = field(repr=False, default_factory=dict)
    """By rank, the elements that are not stored: the reason, and the element as JSON."""

    def __str__(self) -> str:
        return str(self.answer)


def reason_of(error: Exception) -> str:
    """Return in one line why an answer cannot be a document: its own fault, or a defect of this project."""
    said = str(error).split("\n")[0]
    return said if isinstance(error, IdentityError) else f"{type(error).__name__}: {said}"[:300]


def without_ids(reason: str) -> str:
    """Return a reason without the ids in it, so that equal reasons are equal."""
    return _NUMBER.sub("…", reason)


def validate_detail(answer: DetailAnswer) -> ValidDetail:
    """Type the payload of a detail answer; raise `IdentityError` if it does not belong to its request."""
    return ValidDetail(answer, parse(answer.endpoint, answer.envelope.data, star_id=answer.star_id))


def validate_page(answer: SearchAnswer) -> ValidPage:
    """Type the records on a search page; raise `IdentityError` if it is not a search page."""
    valid = ValidPage(answer, parse_page(answer.envelope.data))
    for rank, element in enumerate(valid.page.authors, start=1):
        star_id = star_id_of(element)
        try:
            parsed = parse("search", element, star_id=star_id)
        except IdentityError as error:
            valid.misfits[rank] = (str(error), json.dumps(element).encode())
            continue
        assert star_id is not None  # parse refuses an author without one
        valid.authors[rank] = (star_id, parsed)
    return valid
