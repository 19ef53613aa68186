"""Whether the API's host can be reached: before the first call (`check`) and during the crawl (`Outage`).

The check connects and makes a TLS handshake; it sends no request. This module knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from urllib.parse import urlsplit

from xingtu_crawler.api import proxies
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.proxies import Proxy
from xingtu_crawler.exceptions import ApiUnreachableError

_WHAT_TO_DO = "check JUSTONEAPI_BASE_URL, JUSTONEAPI_ENV and your network"

TIMEOUT_S = 10.0
"""Time in seconds in which the host must accept a connection and finish the TLS handshake."""
GONE_S = 60.0
"""Time in seconds without any response after which the host counts as gone; a restart or a failover is shorter."""
GONE_ATTEMPTS = 5
"""Number of refused connections in that time before the host counts as gone: a single one proves nothing."""

PROBE_POLL_S = 0.5
"""Longest time in seconds until waiting requests notice the result of a probe."""


class Outage:
    """The times when the host accepts no connection: one request at a time probes it, after growing pauses.

    It distinguishes a host that is gone from one that restarts. Times are in seconds of a monotonic clock.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._refused = 0
        self._probes = 0
        self._since = 0.0
        self._probe_at = 0.0
        self._is_probing = False

    def wait(self, now: float) -> float:
        """Return the seconds to wait before the next call, 0 to go ahead; then call `started`."""
        if self._refused == 0:
            return 0.0
        # Without a pause the loop would be busy while the probe is on its way.
        return PROBE_POLL_S if self._is_probing else max(0.0, self._probe_at - now)

    def started(self) -> None:
        """Register that a request is sent."""
        self._is_probing = self._refused > 0

    def refused(self, now: float, *, sent_at: float) -> float | None:
        """Register a connection that was not made, for a request that left at `sent_at`.

        Returns the seconds since the first one in a row if the host counts as gone, None otherwise.
        """
        if self._refused == 0:
            self._since, self._probes = now, 0
            self._probe_at = now + self._backoff.delay(1)
        elif sent_at >= self._since:  # else it was in flight when the first one was refused
            self._is_probing = False
            self._probes += 1
            self._probe_at = now + self._backoff.delay(self._probes + 1)
        self._refused += 1
        seconds = now - self._since
        return seconds if seconds >= GONE_S and self._refused >= GONE_ATTEMPTS else None

    def over(self) -> None:
        """Register any other outcome: the host is there."""
        self._refused = 0
        self._is_probing = False


async def check(base_url: str, proxy: Proxy | None = None) -> None:
    """Connect to the host of `base_url`, through the proxy if there is one, and disconnect.

    Raises `ApiUnreachableError` with one line if the name is unknown, the connection is refused or times out, or the
    certificate is invalid.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if proxy is not None:
                await proxies.check(proxy, host, port, context)
                return
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (socket.gaierror, UnicodeError):  # UnicodeError: it cannot be a name
        raise ApiUnreachableError(f"The API's host {host} is unknown: {_WHAT_TO_DO}.") from None
    except ssl.SSLCertVerificationError as error:
        raise ApiUnreachableError(
            f"The TLS certificate of {host}:{port} is not valid ({error.verify_message}): {_WHAT_TO_DO}; for a "
            "private certificate authority set SSL_CERT_FILE."
        ) from None
    except ssl.SSLError as error:
        reason = error.reason or "handshake failed"
        raise ApiUnreachableError(f"{host}:{port} does not speak TLS ({reason}): {_WHAT_TO_DO}.") from None
    except ConnectionRefusedError:
        raise ApiUnreachableError(f"The API at {host}:{port} refused the connection: {_WHAT_TO_DO}.") from None
    except TimeoutError:
        if proxy is not None:
            raise ApiUnreachableError(proxy.down(f"did not answer within {TIMEOUT_S:g} s")) from None
        raise ApiUnreachableError(
            f"The API at {host}:{port} did not answer within {TIMEOUT_S:g} s: {_WHAT_TO_DO}."
        ) from None
    except OSError as error:
        raise ApiUnreachableError(f"The API at {host}:{port} cannot be reached ({error}): {_WHAT_TO_DO}.") from None
    # Not `close`: that waits up to half a minute for the host to end the TLS session.
    writer.transport.abort()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
