"""An offline Just One API: a synthetic population, faults on demand and a ledger of calls.

It shares only the endpoints' names and paths with the crawler, so that tests find what the crawler gets wrong.
"""
