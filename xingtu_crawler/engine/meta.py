"""The keys of `Request.meta` that this project uses. Nothing under them is ever secret."""

from __future__ import annotations

ENDPOINT = "endpoint"
"""Name of the endpoint asked (str). A request without it is not a call of the API and passes untouched."""
STAR_ID = "star_id"
"""The author whose details are asked (str)."""
PLATFORM = "platform"
"""The platform whose details are asked (str)."""
ATTEMPTS = "attempts"
"""How many attempts have failed so far (int): not 302, refused tokens or refused connections."""
REFUSALS = "refusals"
"""How often the connection was refused (int): the longer, the longer the pause."""
CALLS = "calls"
"""How often it has been asked so far (int), whatever came of it."""
NOT_BEFORE = "not_before"
"""When the request may be sent at the earliest (float, seconds since the epoch)."""
TOKEN_ALIAS = "token_alias"  # noqa: S105 - the name of a key
"""The alias of the token that this attempt uses (str): never the token."""
SENT_AT = "sent_at"
"""When this attempt was sent (float, event loop time in seconds)."""
VERBATIM_URL = "verbatim_url"
"""Scrapy's own: the URL is percent-encoded already (bool), and Scrapy need not look."""
