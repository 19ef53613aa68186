"""`scrapy <command>`: argument parsing only; `dataset/`, `storage/` and `sandbox/` do the work. `base.py` is shared."""
