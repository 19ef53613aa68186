"""Values that the API sends wrong, and how the models correct them: each one is named here and in the codebook.

A correction is made only where the answer itself proves it, so that a repaired API stays right.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Correction:
    """A row of the codebook: the field, what is done, why, and how the models detect that it is needed."""

    field: str
    what: str
    why: str
    detection: str


CORRECTIONS = (
    Correction(
        "`author_rec_videos`: `*_videos[].create_time`",
        "8 hours are subtracted.",
        "The API adds the offset of Beijing to a time that is UTC already.",
        "The upper half of a video's id is the time of its creation in Unix seconds (`id >> 32`). Corrected only where "
        "`create_time` is 8 hours and at most 10 minutes behind it; else the value stands as it came.",
    ),
    Correction(
        "`videos`: `created_at`",
        "The time of `last_10_items` is preferred. A time of another list replaces it only where they differ by 10 "
        "minutes or more.",
        "The lists give times of one upload that differ by up to three minutes.",
        "By the list, and by the distance to the stored time.",
    ),
    Correction(
        "`author_rec_videos`: every field of a video but `item_id`, `create_time` and `play`",
        '0, "0", "", [] and false are stored as null.',
        "The endpoint fills three fields; in the others these values mean that nothing is supplied.",
        "By the field.",
    ),
    Correction(
        "All objects and lists",
        '"", [] and {} in place of an object or a list are stored as null or as empty, and are no misfits.',
        "The API writes an empty object in several ways.",
        "By the declared type.",
    ),
)
"""All corrections, in the order of the codebook."""

_OFFSET = timedelta(hours=8)
_TOLERANCE = timedelta(minutes=10)
_FIRST = datetime(2012, 1, 1, tzinfo=UTC).timestamp()
_LAST = datetime(2040, 1, 1, tzinfo=UTC).timestamp()


def time_in_id(item_id: str | None) -> datetime | None:
    """Return the time of creation that a video's id holds; None if the id holds none."""
    if not item_id or len(item_id) > 19 or not (item_id.isascii() and item_id.isdigit()):
        return None
    seconds = int(item_id) >> 32
    return datetime.fromtimestamp(seconds, UTC) if _FIRST < seconds < _LAST else None


def correct_create_time(video: dict[str, Any]) -> None:
    """Subtract 8 hours from `create_time` of a typed video if its id proves that it is 8 hours ahead."""
    created = video["create_time"]
    if created is None or (in_id := time_in_id(video["item_id"])) is None:
        return
    if abs(created - _OFFSET - in_id) < _TOLERANCE:
        video["create_time"] = created - _OFFSET
