"""The videos inside an answer: one fact per `item_id`, with the same fields for every list.

Reads the typed data of `parse`, in which recommended videos have null instead of 0 for "not supplied".

Lists count the plays of one video at different times, so that their counts differ. The count of each list is a field of
its own; `play` is the count of one of them, by the order of `PLAY_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xingtu_crawler.items.fields import Evidence, Privacy

FIELDS: dict[str, str] = {
    "title": "Title.",
    "created_at": "When the video was uploaded, UTC datetime; corrected where its id says so.",
    "published_at": "When the video was published, UTC datetime: at the upload or later. From `last_10_items` only.",
    "play": "Plays, a raw count: the one of the list that `play_from` names.",
    "play_from": "The field that `play` is taken from. Counts of different lists differ by up to 17 %.",
    "play_in_last_10": "Plays as `last_10_items` of the search shows them.",
    "play_in_rec": "Plays as the recommended videos show them.",
    "play_in_items": "Plays as `items` of the search shows them.",
    "like": "Likes, a raw count.",
    "comment": "Comments, a raw count.",
    "share": "Shares, a raw count.",
    "duration_s": "Length, seconds.",
    "url": "URL of the video.",
    "cover": "URL of the cover.",
    "video_tag": "Why the search shows the video: 6 newest; 3 personal hot, 4 order hot, 5 masterpiece (likely).",
    "is_high_quality": "Whether the marketplace rates the video as high quality, by the name of the field.",
}
"""The canonical fields of a video and their meanings."""

CLASSES: dict[str, tuple[Evidence, Privacy]] = {
    "title": ("by_name", "free_text"),
    "created_at": ("documented", "quasi"),
    "published_at": ("documented", "quasi"),
    "play": ("documented", "quasi"),
    "play_from": ("documented", "none"),
    "play_in_last_10": ("documented", "quasi"),
    "play_in_rec": ("documented", "quasi"),
    "play_in_items": ("documented", "quasi"),
    "like": ("by_name", "quasi"),
    "comment": ("by_name", "quasi"),
    "share": ("by_name", "quasi"),
    "duration_s": ("documented", "quasi"),
    "url": ("by_name", "direct"),
    "cover": ("by_name", "direct"),
    "video_tag": ("documented", "quasi"),
    "is_high_quality": ("by_name", "none"),
}
"""The evidence and the privacy class of each canonical field; see `fields.about`."""

PLAY_FIELDS = ("play_in_last_10", "play_in_rec", "play_in_items")
"""The counts of plays by list, the preferred one first: `last_10_items` also has likes and shares."""

SPARSE = frozenset({"published_at", "play_from", *PLAY_FIELDS})
"""The fields that a document has only where they are known; the others are null."""

_NAMES: dict[str, tuple[str, ...]] = {
    "title": ("item_title", "title"),
    "created_at": ("item_create_time", "create_time", "create_timestamp"),
    "published_at": ("item_publish_time",),
    "play": ("vv", "play_cnt", "play"),
    "like": ("like_cnt", "like"),
    "comment": ("comment_cnt", "comment"),
    "share": ("share_cnt", "share"),
    "duration_s": ("duration",),
    "url": ("url", "item_url"),
    "cover": ("item_cover", "cover", "head_image_url_signed", "head_image_uri"),
    "video_tag": ("video_tag",),
    "is_high_quality": ("is_high_quality_item",),
}
"""The source fields of each canonical field; the first one that is not null wins."""

_LISTS: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "rec_videos": (
        (("masterpiece_videos",), "play_in_rec"),
        (("newest_videos",), "play_in_rec"),
        (("order_hot_videos",), "play_in_rec"),
        (("personal_hot_videos",), "play_in_rec"),
    ),
    "search": ((("attribute_datas", "last_10_items"), "play_in_last_10"), (("items",), "play_in_items")),
}
"""The paths of the lists of videos in each endpoint's data, the preferred one first, and the field of their counts."""


@dataclass(frozen=True, slots=True)
class VideoFact:
    """What one answer says about one video of the author `star_id`.

    `sources` are the lists that contain it (`rec_videos.newest_videos`, `search.last_10_items`). `data` has every key
    of `FIELDS`, with None if no list supplies it.
    """

    item_id: str
    star_id: str
    sources: tuple[str, ...]
    data: dict[str, Any]

    def and_also(self, other: VideoFact) -> VideoFact:
        """Return both facts about the same video as one.

        If both have a value, this one wins; so does its author. `play` is that of the preferred list.
        """
        new = tuple(source for source in other.sources if source not in self.sources)
        data = {name: other.data[name] if value is None else value for name, value in self.data.items()}
        _prefer(data)
        return VideoFact(self.item_id, self.star_id, (*self.sources, *new), data)


def video_facts(endpoint: str, data: dict[str, Any], star_id: str) -> list[VideoFact]:
    """Return the videos in `data` of `parse`, in order; a video in several lists is one fact.

    The preferred list that supplies a field wins. Videos without an id are skipped.
    """
    facts: dict[str, VideoFact] = {}
    for source, counted, video in _videos(endpoint, data):
        item_id = video.get("item_id")
        if not isinstance(item_id, str) or item_id in ("", "0"):
            continue
        known: dict[str, Any] = dict.fromkeys(FIELDS)
        for name, names in _NAMES.items():
            known[name] = _first(video, names)
        if (plays := known["play"]) is not None:
            known[counted], known["play_from"] = plays, counted
        fact = VideoFact(item_id, star_id, (source,), known)
        earlier = facts.get(item_id)
        facts[item_id] = fact if earlier is None else earlier.and_also(fact)
    return list(facts.values())


def stored(data: dict[str, Any]) -> dict[str, Any]:
    """Return the canonical fields as a new document has them: without the unknown ones of `SPARSE`."""
    return {name: value for name, value in data.items() if value is not None or name not in SPARSE}


def _prefer(data: dict[str, Any]) -> None:
    for name in PLAY_FIELDS:
        if data[name] is not None:
            data["play"], data["play_from"] = data[name], name
            return


def _videos(endpoint: str, data: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, counted in _LISTS.get(endpoint, ()):
        videos: Any = data
        for name in path:
            videos = videos.get(name) if isinstance(videos, dict) else None
        for video in videos if isinstance(videos, list) else ():
            if isinstance(video, dict):
                yield f"{endpoint}.{path[-1]}", counted, video


def _first(video: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        value = video.get(name)
        if value is not None and value != "":
            return value
    return None
