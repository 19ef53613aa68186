"""Measurements that are run by hand; nothing of the crawler needs them."""
