"""The remote API as plain Python: endpoints, business codes, envelope, tokens, pace, budget.

Knows neither Scrapy nor MongoDB. State machines take the current time as an argument.
"""
