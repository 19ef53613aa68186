"""Crawl Douyin Xingtu through Just One API into a documented MongoDB dataset."""

__version__ = "0.1.0"
