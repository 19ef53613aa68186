from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Endpoint
from xingtu_crawler.dataset.codebook import CRAWL_FIELDS, INDEX, describe, endpoints, index, pages, variables, write
from xingtu_crawler.items import MODELS, VOLATILE, Payload
from xingtu_crawler.items.corrections import CORRECTIONS
from xingtu_crawler.items.fields import Evidence, Privacy, Text, about
from xingtu_crawler.items.videos import CLASSES, FIELDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "codebook"


def test_the_pages_match_the_models() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}

    stale = [name for name, text in {**pages(), INDEX: index(FOLDER)}.items() if written.get(name) != text]

    assert stale == [], "run scrapy codebook"


@pytest.mark.parametrize("endpoint", sorted(MODELS))
def test_every_field_is_described(endpoint: str) -> None:
    for doc in describe(MODELS[endpoint]):
        assert doc.description.endswith("."), doc.path
        assert len(doc.description) >= 6, doc.path


def test_every_endpoint_of_the_registry_has_a_page() -> None:
    assert endpoints() == [SEARCH, *DETAILS.values()]
    assert sorted(pages()) == sorted(f"{endpoint.collection}.md" for endpoint in endpoints())


def test_paths_and_types_are_those_of_the_stored_data() -> None:
    types = {doc.path: doc.type for endpoint in MODELS for doc in describe(MODELS[endpoint])}

    assert types["price_info"] == "array of object"
    assert types["price_info[].price"] == "integer"
    assert types["price_info[].end_time"] == "UTC datetime"
    assert types["price_info[].price_extra_info.sku_version"] == "any value"
    assert types["attribute_datas.last_10_items[].item_id"] == "string"
    assert types["attribute_datas.game_type"] == "object of number"
    assert types["attribute_datas.tags_relation"] == "object of array of string"
    assert types["attribute_datas.assign_task_price_list"] == "any value"
    assert types["industry_list"] == "array of any value"
    assert types["is_star"] == "boolean"


@pytest.mark.parametrize("endpoint", sorted(VOLATILE))
def test_volatile_paths_are_fields_and_are_marked(endpoint: str) -> None:
    fields = {doc.path for doc in describe(MODELS[endpoint])}
    (collection,) = (one.collection for one in endpoints() if one.name == endpoint)
    page = pages()[f"{collection}.md"]

    assert fields >= VOLATILE[endpoint]
    for path in fields:
        is_marked = f"| `data.{path}` † |" in page
        assert is_marked == any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in VOLATILE[endpoint])


def test_every_row_has_five_cells() -> None:
    for text in (*pages().values(), index(FOLDER).partition("## `crawl`")[2]):
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        assert rows
        assert all(line.replace(r"\|", "").count("|") == 6 for line in rows)


@pytest.mark.parametrize("endpoint", sorted(MODELS))
def test_every_field_has_an_evidence_and_a_privacy_class(endpoint: str) -> None:
    for doc in describe(MODELS[endpoint]):
        assert doc.evidence in get_args(Evidence), doc.path
        assert doc.privacy in get_args(Privacy), doc.path


def test_a_field_without_classes_is_found() -> None:
    class Odd(Payload):
        name: Text = about("Odd.")

    assert [(doc.evidence, doc.privacy) for doc in describe(Odd)] == [("", "")]


def test_what_identifies_an_author_is_never_of_class_none() -> None:
    classes = {doc.path.rpartition(".")[2]: doc.privacy for endpoint in MODELS for doc in describe(MODELS[endpoint])}

    assert {classes[name] for name in ("nick_name", "avatar_uri", "has_phone", "core_user_id", "sec_uid")} == {"direct"}
    assert {classes[name] for name in ("star_id", "author_id", "item_id")} == {"id"}
    assert {classes[name] for name in ("follower", "price", "city", "gender", "mcn_name", "expected_play_num")} == {
        "quasi"
    }
    assert {classes[name] for name in ("item_title", "mcn_introduction")} == {"free_text"}
    assert classes["base_resp"] == "none"


def test_the_page_of_videos_has_the_fields_with_their_classes() -> None:
    rows = re.findall(
        r"^\| `data\.(\w+)`(?: †)? \| .+? \| (\w+) \| (\w+) \|$",
        (FOLDER / "videos.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )

    assert {name: (evidence, privacy) for name, evidence, privacy in rows} == CLASSES
    assert list(CLASSES) == list(FIELDS)


def test_the_index_says_which_call_returns_what_and_what_is_corrected() -> None:
    text = index(FOLDER)

    assert variables()["expected_play_num"] == ["search"]
    assert variables()["follower"] == ["search", "base_info"]
    (only_search,) = [line for line in text.splitlines() if line.startswith("| `search` only |")]
    assert "`expected_play_num`" in only_search
    assert all(correction.field in text for correction in CORRECTIONS)
    assert all(word in text for word in ("3.1892", "植入视频", "`is_open` is true", "`video_type` 92"))


def test_the_fields_of_crawl_and_of_videos_are_described() -> None:
    text = index(FOLDER)

    assert all(f"`crawl.{name}`" in text for name in CRAWL_FIELDS)
    assert all(meaning.endswith(".") for meaning in FIELDS.values())


def test_the_index_lists_the_pages_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "runs.md").write_text("# runs\n\nOne document per crawl.\n\nMore.\n", encoding="utf-8")

    written = write(tmp_path)

    assert {path.name for path in written} == {*pages(), INDEX}
    text = (tmp_path / INDEX).read_text(encoding="utf-8")
    assert "| [runs](runs.md) | One document per crawl. |" in text
    assert text.count("](authors.md)") == 1
    write(tmp_path)
    assert (tmp_path / INDEX).read_text(encoding="utf-8") == text


def test_a_sixth_endpoint_gets_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sixth(Payload, endpoint="sixth"):
        """What the sixth says."""

        name: Text = about("A name | with a bar.")

    monkeypatch.setitem(DETAILS, "sixth", Endpoint("sixth", "/api/sixth/v1", "author_sixth", "Author Sixth (V1)"))
    try:
        page = pages()["author_sixth.md"]
    finally:
        del MODELS["sixth"]

    assert r"| `data.name` | string | A name \| with a bar. |" in page


def test_a_type_without_a_name_is_an_error() -> None:
    class Odd(Payload):
        name: complex | None = about("Odd.")

    with pytest.raises(TypeError, match="name: the codebook has no name"):
        list(describe(Odd))
