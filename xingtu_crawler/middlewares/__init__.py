"""Thin adapters between Scrapy's downloader and `api/`: tokens, budget, business codes, the wire."""
