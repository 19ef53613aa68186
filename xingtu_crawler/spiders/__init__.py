"""The spiders: what to ask next. They know endpoints and arguments, never tokens, codes, retries or MongoDB."""
