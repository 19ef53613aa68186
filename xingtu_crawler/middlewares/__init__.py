"""Thin adapters between Scrapy's downloader and `api/`: tokens, budgets, business codes, the wire."""
