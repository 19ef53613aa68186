"""`scrapy codebook`: what every stored field means, as Markdown pages that are printed from the models.

Knows the models and the endpoint registry, not MongoDB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Endpoint
from xingtu_crawler.items import MODELS, VOLATILE, Part
from xingtu_crawler.items.corrections import CORRECTIONS

INDEX = "README.md"

CRAWL_FIELDS: dict[str, tuple[str, str]] = {
    "run_id": ("string", "Id of the run that wrote the document; see the collection `runs`."),
    "endpoint": ("string", "Name of the endpoint that answered."),
    "code": ("integer", "Business code of the answer: always 0, as no other answer becomes a document."),
    "request_id": ("string", "The provider's id of the answer; quote it to the provider's support."),
    "record_time": (
        "UTC datetime",
        (
            "When the provider recorded the answer, as it says. Null if that is no time with a time zone: then it is "
            "in `unparsed`, under `crawl.record_time`."
        ),
    ),
    "fetched_at": (
        "UTC datetime",
        "When the last answer arrived.",
    ),
    "run_started_at": (
        "UTC datetime",
        (
            "When the run of that answer started. A crawl fetches details again once this is older than `max_age`. "
            "Absent in documents of older versions, whose age is that of `fetched_at`."
        ),
    ),
    "first_seen_at": ("UTC datetime", "When the entity was first fetched."),
    "changed_at": ("UTC datetime", "When `content_hash` last changed: the beginning of the current spell."),
    "spell": ("integer", "Number of the current spell of equal content, from 1; see the view `spells`."),
    "observations": ("integer", "Number of times that the content of the current spell was observed."),
    "observed_between": (
        "array of UTC datetime",
        (
            "The other times at which the content of the current spell was observed, between `changed_at` and "
            "`fetched_at`; the newest 1,000. Absent where there are none."
        ),
    ),
    "content_hash": (
        "string",
        "32 hex digits over `data` without its volatile fields, and over `unparsed`: equal hash, equal content.",
    ),
    "filled": (
        "integer",
        (
            "Number of different fields of the answer that are filled: not 0, false or empty. A later answer with less "
            "than half of them is hollow. In documents of details only."
        ),
    ),
    "schema_version": ("integer", "Version of the models that typed the document."),
    "dated_ahead": (
        "UTC datetime",
        (
            "`fetched_at` by a clock that was ahead: the next crawl has set `fetched_at` to its own start. Absent "
            "where no clock was wrong, and after the next answer."
        ),
    ),
    "unparsed": (
        "object",
        (
            'Path -> `{raw, error}` of every value that did not fit its type (`"price_info.3.price"`); the typed field '
            "is null. `raw` is the value as it came, or its JSON text if MongoDB cannot store it. Absent if all "
            "values fit."
        ),
    ),
    "unknown_fields": (
        "array of string",
        (
            'Paths of fields that no model has (`"price_info[].new_field"`); their values are in `data` as they '
            "came. Absent if there are none."
        ),
    ),
}
"""The fields of `crawl`, in every document of an entity: stored type and meaning."""

_SCALARS: dict[object, str] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    datetime: "UTC datetime",
    Any: "any value",
}

CRAWL_PRIVACY: dict[str, str] = {"request_id": "id", "unparsed": "free_text", "unknown_fields": "free_text"}
"""The privacy class of those fields of `crawl` that are not `none`. All are documented: this project sets them."""

_CLASSES = """\
- **Evidence** says how a meaning is known. `documented`: the provider or the marketplace documents it, or answers
  prove it. `by_name`: it is what the name says, and no answer contradicts. `guess`: it is inferred; do not build on
  it.
- **Privacy** is the class of a field. `direct` identifies a person. `id` is an id that anyone can look up. `quasi`
  identifies in combination: exact followers alone identify almost every author. `free_text` may hold anything.
  `none` is nothing about a person. A dataset without `direct` and `id` is pseudonymous, not anonymous.
"""

_TRAPS = """\
- `price_20_60` and `price_60` mix two rate cards. Before 2026 they are a 21-60 s video and a longer one; on the
  card of 2026 they are 植入视频 (product placement) and 定制视频 (custom video). Of 93 authors seen, 52 have
  植入视频 in `price_20_60`. `desc` of the same `video_type` in `author_marketing_info` says which it is.
- CPM is an identity: price / `expected_play_num` x 1000. CPE is none: `sn_prospective_1_20_cpe` of the provider's
  sample is 3.1892, and price / (plays x interaction rate) is 2.3140. Take CPE as given, and do not derive
  interactions from the rate.
- `is_open` is true for placeholders too. An offer has `enable: true`; a placeholder has `enable: false` and price
  100.
- A price with `video_type` 92 is yuan per 1,000 natural plays, not yuan per video. Leave it out of comparisons of
  prices.
- `lowest_price` is not the minimum of `price_info`, and `fans_increment_within_30d` is often implausible.
- Plays of one video differ by list, without a change: `items` shows up to 17 % fewer than `last_10_items`. Compare
  counts of the same list: `play_in_last_10`, `play_in_rec` and `play_in_items` of [videos](videos.md).
"""

_RULES = """\
- Every typed field may be null: the value was not supplied, was empty, or did not fit (then it is in `crawl.unparsed`).
- Ids are strings, as they have up to 19 digits. Money is yuan. Counts are raw counts.
- Times are UTC datetimes; 2038-01-01 in an end of validity means open-ended.
- Codes are stored raw. "Not documented" in a description means that the provider does not explain the field; "guess"
  means that the meaning is inferred from the name or the values of the field.
- `[]` in a path stands for every element of a list, `*` for every key of an object whose keys are data.
- A field marked † is volatile: it changes without meaning and is not part of `crawl.content_hash`, so that a change in
  it alone begins no new spell.
"""


@dataclass(frozen=True, slots=True)
class FieldDoc:
    """A line of the codebook: the path below `data`, the stored type, the meaning, its evidence, the privacy class.

    The last two are empty where the field has none; a test keeps that from happening.
    """

    path: str
    type: str
    description: str
    evidence: str = ""
    privacy: str = ""


def describe(model: type[Part]) -> Iterator[FieldDoc]:
    """Yield the fields of `model` and of the models inside it, in the order in which they are stored."""
    return _fields(model, "")


def endpoints() -> list[Endpoint]:
    """Return the endpoints that have a model, the search first."""
    return [endpoint for endpoint in (SEARCH, *DETAILS.values()) if endpoint.name in MODELS]


def pages() -> dict[str, str]:
    """Return the Markdown page of each collection that has a model, by file name."""
    return {f"{endpoint.collection}.md": _page(endpoint) for endpoint in endpoints()}


def index(folder: Path) -> str:
    """Return the index page: the pages of the models, then every other page in `folder`."""
    own = pages()
    others = sorted(path for path in folder.glob("*.md") if path.name not in own and path.name != INDEX)
    lines = [
        "# Codebook",
        "",
        "What every stored field means. `scrapy codebook` prints the pages of typed collections from the models.",
    ]
    lines += ["", "| collection | what |", "|---|---|"]
    lines += [f"| [{e.collection}]({e.collection}.md) | {_subject(e)} |" for e in endpoints()]
    lines += [f"| [{path.stem}]({path.name}) | {_heading(path)} |" for path in others]
    lines += ["", "## Rules for all pages", "", _RULES + _CLASSES]
    lines += ["## What is easily read wrong", "", _TRAPS, "## Corrections", ""]
    lines += ["The models correct these values. Every other value is stored as it came, in the declared type.", ""]
    lines += ["| field | what | why | how it is detected |", "|---|---|---|---|"]
    lines += [f"| {one.field} | {one.what} | {one.why} | {one.detection} |" for one in CORRECTIONS]
    lines += ["", *_calls(), "", "## `crawl`: where a document comes from", "", *_HEAD]
    lines += [
        _row(f"crawl.{name}", kind, text, "documented", CRAWL_PRIVACY.get(name, "none"))
        for name, (kind, text) in CRAWL_FIELDS.items()
    ]
    return "\n".join(lines) + "\n"


def variables() -> dict[str, list[str]]:
    """Return the names of variables about an author, each with the endpoints that return it.

    A variable is a field that is no part of a list, by its name: `attribute_datas.follower` is `follower`.
    """
    found: dict[str, list[str]] = {}
    for endpoint in endpoints():
        for doc in describe(MODELS[endpoint.name]):
            parent, _, name = doc.path.rpartition(".")
            if parent in ("", "attribute_datas") and name not in _LAYERS:
                found.setdefault(name, []).append(endpoint.name)
    return found


def _calls() -> list[str]:
    """Return the section that says which call returns which variable."""
    by_call: dict[tuple[str, ...], list[str]] = {}
    for name, names in variables().items():
        by_call.setdefault(tuple(names), []).append(name)
    lines = ["## Which call returns which variable", ""]
    lines += [
        "One call of the search returns 20 authors, one call of a detail endpoint one author. With `endpoints=none`"
    ]
    lines += ["only the variables of the search are there; the spider `authors` alone returns none of them.", ""]
    lines += ["| calls | variables |", "|---|---|"]
    for calls, names in by_call.items():
        said = " and ".join(f"`{call}`" for call in calls) + ("" if len(calls) > 1 else " only")
        lines.append(f"| {said} | {', '.join(f'`{name}`' for name in sorted(names))} |")
    return lines


_LAYERS = frozenset({"base_resp", "attribute_datas", "extra_data"})


def write(folder: Path) -> list[Path]:
    """Write the pages and the index into `folder`, which is created if it does not exist; return their paths.

    Raises `OSError` if that fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in {**pages(), INDEX: index(folder)}.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _page(endpoint: Endpoint) -> str:
    is_author = endpoint is SEARCH
    key = "`star_id`" if is_author else '`"<star_id>:<platform>"`'
    volatile = VOLATILE.get(endpoint.name, frozenset())
    lines = [f"# {endpoint.collection}", "", f"{_subject(endpoint)}. One document per author"]
    lines[-1] += "." if is_author else " and platform."
    lines += ["", f"Source: {_doc(MODELS[endpoint.name])}", "", *_HEAD]
    lines.append(_row("_id", "string", f"{key}.", "documented", "id"))
    lines.append(_row("star_id", "string", "Xingtu id of the author.", "documented", "id"))
    if not is_author:
        platform = "The platform of the request; see `api/endpoints.py`."
        lines.append(_row("platform", "string", platform, "documented", "none"))
    for doc in describe(MODELS[endpoint.name]):
        mark = " †" if _is_volatile(doc.path, volatile) else ""
        lines.append(_row(f"data.{doc.path}", doc.type, doc.description, doc.evidence, doc.privacy, mark=mark))
    crawl = f"Where the document comes from: see the [index]({INDEX})."
    lines.append(_row("crawl.*", "object", crawl, "documented", "none"))
    return "\n".join(lines) + "\n"


def _subject(endpoint: Endpoint) -> str:
    return f'Answers of "{endpoint.title}", endpoint `{endpoint.name}`'


def _doc(model: type[Part]) -> str:
    return " ".join((model.__doc__ or "").split())


_HEAD = ("| field | stored type | meaning | evidence | privacy |", "|---|---|---|---|---|")


def _row(path: str, kind: str, text: str, evidence: str, privacy: str, *, mark: str = "") -> str:
    cells = (f"`{path}`{mark}", kind, " ".join(text.split()), evidence, privacy)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _is_volatile(path: str, volatile: frozenset[str]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in volatile)


def _heading(path: Path) -> str:
    """Return the first line of text of a page that is not generated."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")


def _fields(model: type[Part], prefix: str) -> Iterator[FieldDoc]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        kind, inner, below = _shape(field.annotation, path)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        classes = [str(extra.get(name) or "") for name in ("evidence", "privacy")]
        yield FieldDoc(path, kind, field.description or "", *classes)
        if inner is not None:
            yield from _fields(inner, f"{below}.")


def _shape(annotation: Any, path: str) -> tuple[str, type[Part] | None, str]:
    """Return the stored type of `annotation`, the model inside it (or None), and the path of that model."""
    annotation = _bare(annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation], None, path
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return "object", annotation, path
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list:
        kind, inner, below = _shape(arguments[0], f"{path}[]")
        return f"array of {kind}", inner, below
    if origin is dict:
        kind, inner, below = _shape(arguments[1], f"{path}.*")
        return f"object of {kind}", inner, below
    raise TypeError(f"{path}: the codebook has no name for the type {annotation}")


def _bare(annotation: Any) -> Any:
    """Return `annotation` without `Annotated` and without `None`."""
    while True:
        arguments = [one for one in get_args(annotation) if one is not type(None)]
        is_optional = type(None) in get_args(annotation) and len(arguments) == 1
        if not is_optional and get_origin(annotation) is not Annotated:
            return annotation
        annotation = arguments[0]
