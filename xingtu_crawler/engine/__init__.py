"""The parts of Scrapy that this project replaces: the only place that may touch Scrapy's private attributes."""
