"""Every setting that the project reads: its name, form, default and meaning, typed and checked once.

`Options.read` is the only place that converts a setting. It imports nothing of Scrapy, and does not read the
environment: `settings.py` does. `reference.py` prints docs/settings.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo

from xingtu_crawler.api import credentials, environments
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.exceptions import TokenError, UserError
from xingtu_crawler.mongo.client import server_of
from xingtu_crawler.mongo.names import database_name
from xingtu_crawler.setting_values import AlwaysOn, File, Folder, Level, Number, Switch, Text, Whole, Words

REFUSED = ("DOWNLOAD_DELAY", "DOWNLOAD_SLOTS", "AUTOTHROTTLE_ENABLED")
"""Scrapy's settings of download slots. This project's downloader has no slots, so they would do nothing."""
_OFF = {"0", "0.0", "False", "false", "{}"}


def _setting(part: str, name: str, default: object, meaning: str, *, form: str = "", **constraints: Any) -> Any:
    """Return the field of one setting.

    Args:
        part: the section of docs/settings.md that lists it.
        name: the setting, and the environment variable.
        default: as a user would type it; None if the setting is not set.
        meaning: one or two sentences for docs/settings.md.
        form: what a value looks like, to go on "it must be".
        constraints: further arguments of `pydantic.Field`.
    """
    extra: dict[str, Any] = {"part": part, "form": form}
    return Field(default, alias=name, description=meaning, json_schema_extra=extra, **constraints)


API, RETRYING, STORAGE, SCRAPY = "The API", "Retrying", "Storage", "Scrapy's own"
_ONE_OR_MORE = "a whole number, 1 or more"
_CALLS = "a whole number of calls, 0 or more"
_SECONDS = "a number of seconds, 0 or more"
_BYTES = "a whole number of bytes, 0 or more"
_ZERO_OR_ONE = "0 or 1"


class Options(BaseModel):
    """The settings of a process, typed. The order of the fields is that of the checks and of docs/settings.md."""

    model_config = ConfigDict(frozen=True, validate_default=True, hide_input_in_errors=True)

    token: SecretStr | None = _setting(
        API,
        "JUSTONEAPI_TOKEN",
        None,
        "One token, or several separated by commas. `ACCOUNT:TOKEN` names the account of a token: tokens of one "
        "account share its balance, and when it is empty none of them is used any more "
        "(`acct1:TOKEN,acct1:TOKEN,acct2:TOKEN`). The cost of a run is counted by account; tokens without an account "
        "name count once if their balances are equal before and after the run. Environment only: settings are "
        "printed and listed.",
        form="tokens, separated by commas",
    )
    token_file: File = _setting(
        API,
        "JUSTONEAPI_TOKEN_FILE",
        None,
        "A file that holds the tokens, on one or several lines; `#` begins a comment.",
        form="a file",
    )
    environment: Literal["prod-global", "prod-cn", "sandbox"] = _setting(
        API,
        "JUSTONEAPI_ENV",
        "prod-global",
        "`prod-global` (https://api.justoneapi.com), `prod-cn` (http://47.117.133.51:30015: plain HTTP, the token "
        "crosses the network readable) or `sandbox`.",
        form="one of prod-global, prod-cn, sandbox",
    )
    given_base_url: Text = _setting(
        API, "JUSTONEAPI_BASE_URL", None, "An address that replaces the environment's.", form="an address", repr=False
    )
    sandbox_arguments: Words = _setting(
        API,
        "XINGTU_SANDBOX",
        "",
        "Options of the sandbox that a crawl starts for itself, see [sandbox.md](sandbox.md).",
        form="the sandbox's options",
    )
    search_cap: Whole = _setting(
        API,
        "XINGTU_SEARCH_CAP",
        "10000",
        "Maximum number of authors that a search shows; a `total_count` of this size means this many authors or more.",
        form=_ONE_OR_MORE,
        ge=1,
    )
    max_rate: Number = _setting(
        API,
        "XINGTU_MAX_RATE",
        "0",
        "Maximum number of calls per second and token. 0: the crawl finds the API's limit.",
        form="a number of calls per second, 0 or more",
        ge=0,
    )
    collapse_share: Number = _setting(
        API,
        "XINGTU_COLLAPSE_SHARE",
        "0.5",
        "A crawl is `suspicious` if a query finds, or counts, less than this share of the authors of its last finished "
        "sweep. 0: never.",
        form="a share from 0 to 1",
        ge=0,
        le=1,
    )

    max_attempts: Whole = _setting(
        RETRYING,
        "XINGTU_MAX_ATTEMPTS",
        "8",
        "Maximum number of attempts of a request; then it is recorded in `failures`. Code 302, refused tokens and "
        "connections that were not made do not count as attempts. Of attempts that may be billed, half of it plus 1 is "
        "the maximum. With 15 % of the responses failing, 1 request in 4 million "
        "fails 8 times.",
        form=_ONE_OR_MORE,
        ge=1,
    )
    backoff_base: Number = _setting(
        RETRYING,
        "XINGTU_BACKOFF_BASE",
        "1",
        "Seconds before the second attempt; doubled for each further one, with jitter.",
        form=_SECONDS,
        ge=0,
    )
    backoff_max: Number = _setting(
        RETRYING,
        "XINGTU_BACKOFF_MAX",
        "60",
        "Maximum number of seconds between two attempts.",
        form=_SECONDS,
        ge=0,
    )

    mongo_uri: Text = _setting(
        STORAGE,
        "MONGO_URI",
        None,
        "A MongoDB connection string (server 5.0 or newer). Not set: an embedded MongoDB under `XINGTU_DATA_DIR`.",
        form="a MongoDB connection string",
        repr=False,
    )
    given_database: Text = _setting(
        STORAGE,
        "MONGO_DATABASE",
        None,
        "The database. Not set: the one in the path of `MONGO_URI`, else `xingtu`; in the sandbox with `_sandbox` "
        "appended, so that synthetic data never lies beside real data. `admin`, `config` and `local` are refused.",
        form="the name of a database",
    )
    data_dir: Folder = _setting(
        STORAGE,
        "XINGTU_DATA_DIR",
        ".data",
        "The folder of the embedded MongoDB (`mongo`) and of the spill files (`spill/<database>@<server>`), relative "
        "to the working directory.",
        form="a folder",
    )
    embedded_min_free: Whole = _setting(
        STORAGE,
        "XINGTU_EMBEDDED_MIN_FREE",
        "500000000",
        "Bytes that must be free on the disk before the embedded MongoDB starts.",
        form=_BYTES,
        ge=0,
    )
    storage_patience: Number = _setting(
        STORAGE,
        "XINGTU_STORAGE_PATIENCE",
        "900",
        "Seconds for which the crawl pauses while MongoDB is away. After that it writes what it holds to a spill file "
        "and closes with `storage_unavailable`.",
        form=_SECONDS,
        ge=0,
    )
    keeps_history: Switch = _setting(
        STORAGE, "XINGTU_HISTORY", "1", "0: do not keep history (`history`).", form=_ZERO_OR_ONE
    )
    daily_calls: Whole = _setting(
        STORAGE,
        "XINGTU_DAILY_CALLS",
        "0",
        "Maximum number of calls per day (Asia/Shanghai) of all crawls into the database together; 0: no limit. Calls "
        "of the day that were made without the limit count too.",
        form=_CALLS,
        ge=0,
    )

    concurrent_requests: Whole = _setting(
        SCRAPY,
        "CONCURRENT_REQUESTS",
        64,
        "Maximum number of calls in flight. Scrapy's other limits do not work here: `DOWNLOAD_DELAY`, "
        "`DOWNLOAD_SLOTS` and `AUTOTHROTTLE_ENABLED` are refused, `CONCURRENT_REQUESTS_PER_DOMAIN` is not read.",
        form=_ONE_OR_MORE,
        ge=1,
    )
    download_timeout: Number = _setting(
        SCRAPY,
        "DOWNLOAD_TIMEOUT",
        60,
        "Seconds after which a call is given up; the provider advises at least 60. It may have been billed.",
        form="a number of seconds above 0",
        gt=0,
    )
    download_maxsize: Whole = _setting(
        SCRAPY,
        "DOWNLOAD_MAXSIZE",
        2_000_000,
        "Maximum number of bytes of a response that is parsed; the largest known response has 130 kB. A longer one, or "
        "one with more than 200,000 JSON values, goes to quarantine as it came, up to 16 MB of it, and is recorded in "
        "`failures` as `too_large`. 0: no limit.",
        form=_BYTES,
        ge=0,
    )
    uses_proxy: Switch = _setting(
        SCRAPY,
        "HTTPPROXY_ENABLED",
        False,
        "1: use the proxy that `http_proxy` or `https_proxy` names. It sees the token if the API is plain HTTP.",
        form=_ZERO_OR_ONE,
    )
    verifies_certificates: AlwaysOn = _setting(
        SCRAPY,
        "DOWNLOAD_VERIFY_CERTIFICATES",
        True,
        "TLS certificates are always verified: otherwise any server could pose as the API and see the token. 0 is "
        "refused. To trust another certificate authority, name its file in `SSL_CERT_FILE`.",
        form="1, because any server could pose as the API and see the token otherwise",
    )
    request_headers: dict[str, str | None] = _setting(
        SCRAPY,
        "DEFAULT_REQUEST_HEADERS",
        {"Accept": "application/json", "Accept-Encoding": "gzip"},
        "The headers of every call.",
        form="a dictionary of headers",
    )
    user_agent: str = _setting(SCRAPY, "USER_AGENT", "xingtu-crawler", "The `User-Agent` of every call.", form="text")
    log_level: Level = _setting(
        SCRAPY,
        "LOG_LEVEL",
        "INFO",
        "The lowest level that is logged.",
        form="one of CRITICAL, ERROR, WARNING, INFO, DEBUG",
    )
    log_enabled: Switch = _setting(SCRAPY, "LOG_ENABLED", True, "0: no log.", form=_ZERO_OR_ONE)
    log_file: File = _setting(SCRAPY, "LOG_FILE", None, "The file of the log. Not set: standard error.", form="a file")

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self:
        """Return the options that `settings` (Scrapy's, or a dictionary) hold.

        Raises `UserError`, in one line that names the setting, for the first one with a value that it cannot have.
        """
        if isinstance(settings.get("JUSTONEAPI_TOKEN"), str):
            # Scrapy prints settings, scrapyd lists them, `ps` shows them.
            raise TokenError(
                "JUSTONEAPI_TOKEN was given as a setting, which logs and process lists show: set it in the "
                "environment, or name a file in JUSTONEAPI_TOKEN_FILE."
            )
        for name in REFUSED:
            if settings.get(name) and str(settings[name]) not in _OFF:
                raise UserError(
                    f"{name} does not work here, as the crawl finds its own pace: remove it, or limit the pace with "
                    "XINGTU_MAX_RATE."
                )
        names = [field.alias for field in cls.model_fields.values() if field.alias]
        given = {name: value for name in names if (value := settings.get(name)) is not None}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            name = str(error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"][0])
            raise UserError(_wrong(cls, name, given.get(name))) from None

    @model_validator(mode="after")
    def _check_derived(self) -> Self:
        _ = self.base_url, self.database_name
        return self

    @property
    def is_sandbox(self) -> bool:
        """Whether the API is a sandbox, whose data is synthetic."""
        return self.environment == environments.SANDBOX

    @property
    def base_url(self) -> str | None:
        """The base URL of the API without a trailing slash; None if the crawl starts a sandbox for itself."""
        return environments.base_url(self.environment, self.given_base_url)

    @property
    def database_name(self) -> str:
        """The database to read and write."""
        return database_name(self.given_database, self.mongo_uri, is_sandbox=self.is_sandbox)

    @property
    def embedded_folder(self) -> Path:
        """The folder of the embedded MongoDB."""
        return self.data_dir / "mongo"

    @property
    def spill_directory(self) -> Path:
        """The folder of the database's spill files; a database of the same name on another server has another."""
        return self.data_dir / "spill" / f"{self.database_name}@{server_of(self.mongo_uri)}"

    @property
    def backoff(self) -> Backoff:
        """The pauses before a retry, and before a probe."""
        return Backoff(self.backoff_base, self.backoff_max)

    @property
    def logs_to_terminal(self) -> bool:
        """Whether the log goes to standard error."""
        return self.log_enabled and self.log_file is None

    def token_pool(self) -> TokenPool:
        """Return a new pool of the tokens; raise `TokenError` if there is none, or one that cannot be right."""
        return credentials.read_pool(
            self.token, self.token_file, is_sandbox=self.is_sandbox, max_rate=self.max_rate or None
        )


def _wrong(options: type[Options], name: str, value: object) -> str:
    field = next(each for each in options.model_fields.values() if each.alias == name)
    what = f"{name} is {str(value)!r}" if field.repr else f"{name} is wrong"
    return f"{what}: it must be {form(field)}."


def form(field: FieldInfo) -> str:
    """Return what a value of the setting looks like."""
    return str(_extra(field)["form"])


def _extra(field: FieldInfo) -> dict[str, Any]:
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


def fields(part: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the settings of a part by name."""
    for field in Options.model_fields.values():
        if _extra(field)["part"] == part:
            assert field.alias is not None
            yield field.alias, field


def defaults(*parts: str) -> dict[str, Any]:
    """Return the default of each setting of the given parts, as a user would type it, by name."""
    return {name: field.default for part in parts for name, field in fields(part)}
