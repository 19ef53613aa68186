"""Where the API is: the base URL of each environment."""

from __future__ import annotations

import re

from xingtu_crawler.exceptions import UserError

BASE_URLS: dict[str, str] = {
    "prod-global": "https://api.justoneapi.com",
    # Plain HTTP on a bare IP: the token crosses the network readable. Only on explicit request.
    "prod-cn": "http://47.117.133.51:30015",
}
SANDBOX = "sandbox"
"""The environment that has no fixed address: a crawl without `JUSTONEAPI_BASE_URL` starts its own."""

# Labels of 63 characters at most, an IPv4 address or one in brackets.
_ADDRESS = re.compile(
    r"https?://(?:[\w-]{1,63}(?:\.[\w-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?(?:/\S*)?", re.ASCII
)


def base_url(environment: str, override: str | None = None) -> str | None:
    """Return the base URL without a trailing slash, or None for a sandbox that is yet to be started.

    Raises `UserError` where the environment is unknown or the override is no address.
    """
    if environment != SANDBOX and environment not in BASE_URLS:
        names = ", ".join([*BASE_URLS, SANDBOX])
        raise UserError(f"JUSTONEAPI_ENV is {environment!r}: it is one of {names}.")
    if override:
        if any(sign in override for sign in "?#@"):  # not repeated here: what follows them may be a secret
            raise UserError(
                "JUSTONEAPI_BASE_URL holds more than an address: write https://host or https://host:port alone; the "
                "token goes into JUSTONEAPI_TOKEN."
            )
        if not override.startswith(("http://", "https://")):
            raise UserError(f"JUSTONEAPI_BASE_URL is {override!r}: it starts with https:// (or http://).")
        match = _ADDRESS.fullmatch(override)
        if match is None or int(match["port"] or 0) > 65535:
            raise UserError(f"JUSTONEAPI_BASE_URL is {override!r}: it reads https://host or https://host:port.")
        return override.rstrip("/")
    return BASE_URLS.get(environment)
