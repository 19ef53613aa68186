"""Thin adapters between Scrapy's items and `items/` and `storage/`: validation, MongoDB, records for feeds."""
