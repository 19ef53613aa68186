"""An offline Just One API: a synthetic population, faults on demand and a ledger of calls.

Knows nothing of the crawler but the endpoints' names and paths, so that it can disagree with it.
"""
