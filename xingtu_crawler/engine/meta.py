"""The keys of `Request.meta` that this project uses. None of the values is secret."""

from __future__ import annotations

ENDPOINT = "endpoint"
"""Name of the endpoint (str). A request without it is no call of the API, and the middlewares pass it on."""
STAR_ID = "star_id"
"""The author whose details are requested (str)."""
PLATFORM = "platform"
"""The platform whose details are requested (str)."""
ATTEMPTS = "attempts"
"""Number of failed attempts so far (int), without code 302, refused tokens and refused connections."""
REFUSALS = "refusals"
"""Number of refused connections so far (int); the pause grows with it."""
CALLS = "calls"
"""Number of calls made for the request so far (int), whatever their result."""
NOT_BEFORE = "not_before"
"""The earliest time to send the request (float, seconds since the epoch)."""
TOKEN_ALIAS = "token_alias"  # noqa: S105 - the name of a key
"""The alias of the token that this attempt uses (str), never the token itself."""
SENT_AT = "sent_at"
"""When this attempt was sent (float, event loop time in seconds)."""
VERBATIM_URL = "verbatim_url"
"""Scrapy's own key: the URL is percent-encoded already, so Scrapy leaves it alone (bool)."""
