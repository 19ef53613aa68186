"""The spiders: what to request next. They know endpoints and arguments, but no tokens, codes, retries or MongoDB."""
