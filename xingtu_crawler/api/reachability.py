"""Is the API's host there? Asked before the first call: a connection, a TLS handshake, no request.

And is it still there? That is told from the calls that are refused. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from urllib.parse import urlsplit

from xingtu_crawler.exceptions import ApiUnreachableError

_WHAT_TO_DO = "check JUSTONEAPI_BASE_URL, JUSTONEAPI_ENV and your network"


TIMEOUT_S = 10.0
"""How long the host has to accept a connection and finish a TLS handshake."""


GONE_S = 60.0
"""For how long nothing but refused connections must come: a restart, a deployment or a failover is shorter."""
GONE_ATTEMPTS = 5
"""And how many of them: one call that slept through the minute tells nothing."""


class Outage:
    """Tells a host that is gone from one that is just being restarted; `now` in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._refused = 0
        self._since = 0.0

    def refused(self, now: float) -> float | None:
        """Tell of a refused connection; return for how many seconds nothing else has come, once the host is gone."""
        if self._refused == 0:
            self._since = now
        self._refused += 1
        seconds = now - self._since
        return seconds if seconds >= GONE_S and self._refused >= GONE_ATTEMPTS else None

    def over(self) -> None:
        """Tell of anything else: somebody is there."""
        self._refused = 0


async def check(base_url: str) -> None:
    """Connect to the host of `base_url` and hang up.

    Raises `ApiUnreachableError`, one line, where the name is unknown, the connection is refused or not
    answered, or the certificate is not valid.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (socket.gaierror, UnicodeError):  # UnicodeError: not even the form of a name
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
        raise ApiUnreachableError(
            f"The API at {host}:{port} did not answer within {TIMEOUT_S:g} s: {_WHAT_TO_DO}."
        ) from None
    except OSError as error:
        raise ApiUnreachableError(f"The API at {host}:{port} cannot be reached ({error}): {_WHAT_TO_DO}.") from None
    # Not `close`: that would wait for the host to say goodbye in TLS, up to half a minute.
    writer.transport.abort()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
