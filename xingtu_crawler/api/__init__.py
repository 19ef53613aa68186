"""The remote API as plain Python: what can be asked, what its answers mean, what it costs.

Nothing in here knows Scrapy or MongoDB. State machines take the clock as an argument.
"""
