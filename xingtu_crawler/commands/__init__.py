"""`scrapy <command>`: argument parsing only; the work is done in `sandbox/`, `storage/` and `dataset/`."""
