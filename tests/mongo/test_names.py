"""The database of MONGO_DATABASE, of the path of MONGO_URI, or the default; what is no visible name is refused."""

from __future__ import annotations

import unicodedata
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.names import database_in, database_name, is_name


@pytest.mark.parametrize("name", ["admin", "config", "local", "Admin", "LOCAL"])
def test_databases_of_mongodb_are_refused(name: str) -> None:
    with pytest.raises(StorageError, match=f"^MONGO_DATABASE is '{name}', a database of MongoDB's own"):
        database_name(name, None, is_sandbox=False)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "a.b", "a/b", "a\\b", "$a", 'a"', "xingtu ", "\u3000xingtu", "xingtu\n", "a\0", "a\ud800"),
        *("a\u200bb", "a\ufeff", "a\u00adb", "a\u202eb", "a\u3164", "a\u2800", "a\ufe0f", "a" * 64, "\u661f" * 22),
    ],
)
def test_names_that_are_none_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(StorageError) as raised:
        database_name(name, None, is_sandbox=False)
    line = str(raised.value)
    assert line == f"MONGO_DATABASE is {name!r}, which is no name of a database: use letters, digits, _ and -."
    assert "\n" not in line


@pytest.mark.parametrize("name", ["xingtu", "panel_2026", "a-b", "a" * 63, "\u661f\u56fe", "caf\u00e9", "cafe\u0301"])
def test_visible_names_are_accepted(mongo_uri: str, name: str) -> None:
    assert database_name(name, None, is_sandbox=True) == name
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        assert client[name].list_collection_names() == []


@given(name=st.text(max_size=70))
def test_an_accepted_name_has_no_invisible_character(name: str) -> None:
    if is_name(name):
        assert name == name.strip()
        assert not {unicodedata.category(each)[0] for each in name} & {"C", "Z"}
        assert 0 < len(name.encode()) <= 63


@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_mongodb_accepts_every_accepted_name(mongo_uri: str, name: str) -> None:
    if not is_name(name):
        return
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        try:
            client[name].command("listCollections", nameOnly=True)
        except PyMongoError as error:
            raise AssertionError(f"{name!r} is refused: {error}") from error


@pytest.mark.parametrize(
    ("uri", "database"),
    [
        ("mongodb://db1", None),
        ("mongodb://db1/", None),
        ("mongodb://db1/?w=1", None),
        ("mongodb://db1?w=1/2", None),
        ("mongodb://me:secret@db1,db2:27018/panel", "panel"),
        ("mongodb+srv://me:secret@cluster.example.net/panel?retryWrites=true", "panel"),
        ("mongodb://db1/%E6%98%9F%E5%9B%BE", "\u661f\u56fe"),
        ("mongodb://db1/panel.authors", "panel"),
        ("mongodb://%2Ftmp%2Fmongod.sock/panel", "panel"),
        ("mongodb://root:secret@db1/admin", None),  # where the user is defined
        ("mongodb://me:pa/ss@db1/panel", None),  # `connect` refuses it
    ],
)
def test_the_path_of_the_uri_names_the_database(uri: str, database: str | None) -> None:
    assert database_in(uri) == database
    assert database_name(None, uri, is_sandbox=False) == (database or "xingtu")
    assert database_name(None, uri, is_sandbox=True) == f"{database or 'xingtu'}_sandbox"
    assert database_name("mine", uri, is_sandbox=True) == "mine"


async def test_the_same_name_means_the_same_database_to_pymongo(
    mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]]
) -> None:
    name = f"{mongo_db.name}_{uuid4().hex[:4]}"
    with MongoClient[dict[str, Any]](f"{mongo_uri}/{name}?w=1") as client:
        assert client.get_default_database().name == database_in(f"{mongo_uri}/{name}?w=1")
