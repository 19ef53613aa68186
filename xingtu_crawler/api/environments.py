"""The base URL of each environment."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from xingtu_crawler.exceptions import UserError

BASE_URLS: dict[str, str] = {
    "prod-global": "https://api.justoneapi.com",
    # Plain HTTP on a bare IP address: anyone on the way can read the token. Only on explicit request.
    "prod-cn": "http://47.117.133.51:30015",
}
SANDBOX = "sandbox"
"""The environment without a fixed address: a crawl without `JUSTONEAPI_BASE_URL` starts its own sandbox."""

# A host name with labels of at most 63 characters, an IPv4 address, or an IPv6 address in brackets.
_ADDRESS = re.compile(
    r"https?://(?:[\w-]{1,63}(?:\.[\w-]{1,63})*\.?|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>\d{1,5}))?(?:/\S*)?",
    re.ASCII,
)


def base_url(environment: str, override: str | None = None) -> str | None:
    """Return the base URL without a trailing slash, or None for a sandbox that the crawl has to start.

    Raises `UserError` if `override` (JUSTONEAPI_BASE_URL) is not an address.
    """
    if override:
        if any(sign in override for sign in "?#@"):  # the message does not show it: it may hold a secret
            raise UserError(
                "JUSTONEAPI_BASE_URL holds more than an address: write https://host or https://host:port only; put "
                "the token into JUSTONEAPI_TOKEN."
            )
        if not override.startswith(("http://", "https://")):
            raise UserError(f"JUSTONEAPI_BASE_URL is {override!r}: it must start with https:// (or http://).")
        match = _ADDRESS.fullmatch(override)
        if match is None or not 0 < int(match["port"] or 443) <= 65535 or not _is_ipv6(match["v6"] or "::1"):
            raise UserError(f"JUSTONEAPI_BASE_URL is {override!r}: write https://host or https://host:port.")
        return override.rstrip("/")
    return BASE_URLS.get(environment)


def is_loopback(base_url: str) -> bool:
    """Return whether the host of an address is this machine."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_ipv6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True
