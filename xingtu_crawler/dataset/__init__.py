"""From MongoDB to a researcher: export, codebook, report. Nothing in here knows Scrapy."""
