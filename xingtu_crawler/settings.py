"""Every setting of the project, with its reason. No other module reads the environment."""

from __future__ import annotations

import os
from typing import Any

from pydantic import SecretStr

from xingtu_crawler.engine.log import protect
from xingtu_crawler.options import API, RETRYING, STORAGE, defaults

# --- The project -------------------------------------------------------------------------------------------

BOT_NAME = "xingtu_crawler"
SPIDER_MODULES = ["xingtu_crawler.spiders"]
NEWSPIDER_MODULE = "xingtu_crawler.spiders"
COMMANDS_MODULE = "xingtu_crawler.commands"

# --- This project's own (options.py has their meanings and defaults) ----------------------------------------

for _name, _default in defaults(API, RETRYING, STORAGE).items():
    globals()[_name] = os.environ.get(_name) or _default  # a variable that is empty counts as not set

# Wrapped, so that neither `scrapy settings` nor a log of the settings shows it. An empty token is kept: it is an error.
_token = os.environ.get("JUSTONEAPI_TOKEN")
JUSTONEAPI_TOKEN = None if _token is None else SecretStr(_token)
# Crawls and commands hide it in every log record (engine/log.py).
protect([_token] if _token else [])
del _name, _default, _token

# --- Crawls of the API (spiders/base.py) -------------------------------------------------------------------

# The spiders of this project add these to their crawls, unless this module or the command line sets the same name. A
# spider of your own, `scrapy shell` and `scrapy fetch` run without them.
API_CRAWL: dict[str, Any] = {
    "DOWNLOAD_HANDLERS": {
        "http": "xingtu_crawler.middlewares.download_handler.TokenDownloadHandler",
        "https": "xingtu_crawler.middlewares.download_handler.TokenDownloadHandler",
        # The crawls use no other scheme.
        "data": None,
        "file": None,
        "ftp": None,
        "s3": None,
    },
    "DOWNLOADER_MIDDLEWARES": {
        # Behind Scrapy's HTTP cache (900): a cached response costs no call, and a failed one is never cached.
        "xingtu_crawler.middlewares.business_code.BusinessCodeMiddleware": 930,
        "xingtu_crawler.middlewares.token.TokenMiddleware": 940,
        "xingtu_crawler.middlewares.budget.BudgetMiddleware": 950,
        # BusinessCodeMiddleware retries by business code and with pauses; Scrapy's own retry would pay again at once.
        "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
        # The download handler does the same; each middleware costs time at every call.
        "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": None,
        "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": None,
        "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": None,
        # This project has its own stats of calls and answers.
        "scrapy.downloadermiddlewares.stats.DownloaderStats": None,
        # The session of the API knows the proxy, for the balance too.
        "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware": None,
        # For web pages only.
        "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
        "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
        "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,
        "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
        "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": None,
        "scrapy.downloadermiddlewares.cookies.CookiesMiddleware": None,
        # The download handler decompresses, so that it can remove a token that the body echoes.
        "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,
    },
    "SPIDER_MIDDLEWARES": {
        # Sets `is_start_request`; nothing here reads it.
        "scrapy.spidermiddlewares.start.StartSpiderMiddleware": None,
        # BusinessCodeMiddleware has judged every response by its body.
        "scrapy.spidermiddlewares.httperror.HttpErrorMiddleware": None,
        # A `Referer` would send one URL to the next; depth and URL length have no meaning here.
        "scrapy.spidermiddlewares.referer.RefererMiddleware": None,
        "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
        "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
        "scrapy.spidermiddlewares.metacopy.MetaCopyDetectionMiddleware": None,
    },
    "ITEM_PIPELINES": {
        "xingtu_crawler.pipelines.validation.ValidationPipeline": 300,
        "xingtu_crawler.pipelines.mongodb.MongoPipeline": 800,
        "xingtu_crawler.pipelines.records.RecordsPipeline": 900,
    },
    "EXTENSIONS": {
        # First, so that log records are redacted before the token is used.
        "xingtu_crawler.engine.process_state.ProcessState": -10,
        "xingtu_crawler.extensions.crawl.Crawl": 0,
        "xingtu_crawler.extensions.progress.Progress": 500,
        "xingtu_crawler.engine.stats.TimesOnly": 0,
        "scrapy.extensions.corestats.CoreStats": None,
        "xingtu_crawler.engine.scraper.DirectScraping": 0,
        "xingtu_crawler.engine.scrapy_settings.WithoutEffect": 0,
        # Logs pages and items per minute; extensions/progress.py logs calls and authors.
        "scrapy.extensions.logstats.LogStats": None,
    },
    "FEED_EXPORTERS": {
        "csv": "xingtu_crawler.engine.feeds.CsvExporter",
        "xml": "xingtu_crawler.engine.feeds.XmlExporter",
    },
    "FEED_STORAGES": {"stdout": "xingtu_crawler.engine.feeds.StdoutStorage"},
    "STATS_CLASS": "xingtu_crawler.engine.stats.PlainStats",
    "ITEM_PROCESSOR": "xingtu_crawler.engine.chains.DirectPipelines",
    "DOWNLOADER": "xingtu_crawler.engine.downloader.SlotlessDownloader",
    "SCHEDULER": "xingtu_crawler.engine.scheduler.DelayScheduler",
    # First in, first out: authors are completed in the order in which they are found.
    "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
    # There is one host; the default queue balances hosts.
    "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.ScrapyPriorityQueue",
    # The claims in MongoDB prevent duplicates; a set of a million fingerprints would cost memory.
    "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
    "LOG_FORMATTER": "xingtu_crawler.engine.log.XingtuLogFormatter",
    # Scrapy would read the source of callbacks and errbacks, which fails where there is none, as in some scripts.
    "WARN_ON_GENERATOR_RETURN_VALUE": False,
    "DEFAULT_REQUEST_HEADERS": {"Accept": "application/json", "Accept-Encoding": "gzip"},
    "USER_AGENT": "xingtu-crawler",
    # The API never redirects; a redirect would carry the token elsewhere.
    "REDIRECT_ENABLED": False,
    "RETRY_ENABLED": False,
    "COOKIES_ENABLED": False,
    "STATS_DUMP": False,  # the last lines of the log and `runs` have the figures
}

# --- Downloading -------------------------------------------------------------------------------------------

CONCURRENT_REQUESTS = 64
# The provider advises at least 60 s: a call that times out may have been billed.
DOWNLOAD_TIMEOUT = 60
# The largest known answer has 130 kB. What is longer than this is kept, but not parsed: that could fill the memory.
DOWNLOAD_MAXSIZE = 2_000_000

# --- Security: what Scrapy leaves open ---------------------------------------------------------------------

DOWNLOAD_VERIFY_CERTIFICATES = True
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False
# A proxy of the environment would see the token of an http:// API. Enable it with -s HTTPPROXY_ENABLED=1.
HTTPPROXY_ENABLED = False

# --- Logging -----------------------------------------------------------------------------------------------

LOG_LEVEL = "INFO"
LOG_VERSIONS: list[str] = []  # in `runs`

# --- The event loop ----------------------------------------------------------------------------------------

try:
    import uvloop  # noqa: F401
except ImportError:  # Windows
    pass
else:
    # 1.3 times the calls per second of asyncio's own loop.
    ASYNCIO_EVENT_LOOP = "uvloop.Loop"
