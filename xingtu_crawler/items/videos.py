"""The videos inside an answer: one fact per `item_id`, with the same fields for every list.

Reads the typed data of `parse`, in which recommended videos have null instead of 0 for "not supplied".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FIELDS: dict[str, str] = {
    "title": "Title.",
    "created_at": "When the video was published, UTC datetime.",
    "play": "Plays, a raw count.",
    "like": "Likes, a raw count.",
    "comment": "Comments, a raw count.",
    "share": "Shares, a raw count.",
    "duration_s": "Length as given, read as seconds (the provider does not document the unit).",
    "url": "URL of the video.",
    "cover": "URL of the cover.",
    "video_tag": "Code of why the search shows the video; codes not documented by the provider.",
    "is_high_quality": "Whether the marketplace rates the video as high quality, by the name of the field.",
}
"""The canonical fields of a video and their meanings."""

_NAMES: dict[str, tuple[str, ...]] = {
    "title": ("item_title", "title"),
    "created_at": ("item_create_time", "create_time", "create_timestamp"),
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

_LISTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "rec_videos": (
        ("masterpiece_videos",),
        ("newest_videos",),
        ("order_hot_videos",),
        ("personal_hot_videos",),
    ),
    "search": (("items",), ("attribute_datas", "last_10_items")),
}
"""The paths of the lists of videos in each endpoint's data."""


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
        """Return both facts about the same video as one. If both have a value, this one wins; so does its author."""
        new = tuple(source for source in other.sources if source not in self.sources)
        data = {name: other.data[name] if value is None else value for name, value in self.data.items()}
        return VideoFact(self.item_id, self.star_id, (*self.sources, *new), data)


def video_facts(endpoint: str, data: dict[str, Any], star_id: str) -> list[VideoFact]:
    """Return the videos in `data` of `parse`, in order; a video in several lists is one fact.

    The first list that supplies a field wins. Videos without an id are skipped.
    """
    facts: dict[str, VideoFact] = {}
    for source, video in _videos(endpoint, data):
        item_id = video.get("item_id")
        if not isinstance(item_id, str) or item_id in ("", "0"):
            continue
        fact = facts.get(item_id)
        sources = fact.sources if fact else ()
        facts[item_id] = VideoFact(
            item_id=item_id,
            star_id=star_id,
            sources=sources if source in sources else (*sources, source),
            data={
                name: _first(video, names) if fact is None or fact.data[name] is None else fact.data[name]
                for name, names in _NAMES.items()
            },
        )
    return list(facts.values())


def _videos(endpoint: str, data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in _LISTS.get(endpoint, ()):
        videos: Any = data
        for name in path:
            videos = videos.get(name) if isinstance(videos, dict) else None
        for video in videos if isinstance(videos, list) else ():
            if isinstance(video, dict):
                yield f"{endpoint}.{path[-1]}", video


def _first(video: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        value = video.get(name)
        if value is not None and value != "":
            return value
    return None
