"""Scrapy's chains of middlewares and pipelines, called directly.

Scrapy wraps every result of every component into a coroutine and formats the component's name each time, in case it
returned a Deferred. These chains await only what is awaitable. A component with the deprecated `spider` argument sends
the whole chain back to Scrapy's own code.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.http import Response
from scrapy.pipelines import ItemPipelineManager
from scrapy.utils.defer import ensure_awaitable

from xingtu_crawler.engine.state import has_spider_arguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy.core.downloader.middleware import DownloaderMiddlewareManager


class DirectPipelines(ItemPipelineManager):
    """The item pipelines (setting `ITEM_PROCESSOR`)."""

    async def process_item_async(self, item: Any) -> Any:
        """Pass an item through the pipelines and return what the last one returns."""
        if has_spider_arguments(self):
            return await super().process_item_async(item)
        for method in self.methods["process_item"]:
            assert method is not None
            item = method(item)
            if isawaitable(item):
                item = await ensure_awaitable(item)
        return item


async def download(
    middlewares: DownloaderMiddlewareManager, send: Callable[[Request], Awaitable[Response]], request: Request
) -> Response | Request:
    """Pass a request through the downloader middlewares to `send`, and its response or exception back."""
    if has_spider_arguments(middlewares):
        return await middlewares.download_async(send, request)  # type: ignore[arg-type]
    methods = middlewares.methods
    try:
        result = await _first(methods["process_request"], request=request) or await send(request)
    except Exception as error:
        found = await _first(methods["process_exception"], request=request, exception=error)
        if found is None:
            raise
        result = found
    for method in methods["process_response"]:
        if isinstance(result, Request):
            break
        assert method is not None
        result = method(request=request, response=result)
        if isawaitable(result):
            result = await ensure_awaitable(result)
    return result


async def _first(methods: Any, **arguments: Any) -> Any:
    """Return the first result that is not None."""
    for method in methods:
        result = method(**arguments)
        if isawaitable(result):
            result = await ensure_awaitable(result)
        if result is not None:
            return result
    return None
