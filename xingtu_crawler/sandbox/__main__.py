"""`python -m xingtu_crawler.sandbox`: the sandbox without Scrapy."""

from __future__ import annotations

import sys

from xingtu_crawler.sandbox import options, serve

if __name__ == "__main__":
    sys.exit(serve.main(lambda: options.parse(sys.argv[1:])))
