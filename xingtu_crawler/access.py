"""`open_dataset`: the dataset for scripts and notebooks, found by the settings that the commands use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.database import Database
from scrapy.settings import Settings
from scrapy.utils.project import get_project_settings

from xingtu_crawler.options import Options
from xingtu_crawler.storage.reader import open_for_reading_blocking


@contextmanager
def open_dataset() -> Iterator[Database[dict[str, Any]]]:
    """Open the dataset for reading and return it as a PyMongo database, with UTC datetimes; use it in a `with`.

    The settings are those of the commands: environment variables, or the settings module of the Scrapy project. The
    embedded MongoDB is started if it is not running, and stops with its last user. Nothing is created or written,
    but PyMongo does not prevent your code from writing: to enforce that, let `MONGO_URI` name a user with the role
    `read`.

    Raises:
        UserError: a setting is wrong.
        StorageError: MongoDB cannot be used, or there is no dataset yet.
    """
    with open_for_reading_blocking(Options.read(_settings())) as database:
        yield database


def _settings() -> Settings:
    settings = get_project_settings()
    if "API_CRAWL" not in settings:  # outside of the project's folder
        settings.setmodule("xingtu_crawler.settings", priority="project")
    return settings
