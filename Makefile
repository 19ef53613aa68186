# GNU make. Every target makes the virtual environment it needs and uses it again the next time.

PYTHON ?= python3.11
VENV ?= .venv

AT_LEAST_3_11 = import sys; sys.exit(sys.version_info < (3, 11))
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
DEMO_FIELDS = star_id,$\
	data.attribute_datas.nick_name,data.attribute_datas.province,data.attribute_datas.follower,$\
	data.attribute_datas.expected_play_num,data.attribute_datas.interact_rate_within_30d,$\
	data.attribute_datas.price_20_60,data.attribute_datas.prospective_20_60_cpm,$\
	crawl.endpoint,crawl.request_id,crawl.fetched_at,crawl.first_seen_at,crawl.changed_at
# More than two cores can run: tests often wait for a crawl. Each process uses up to 800 MB.
TEST_PROCESSES ?= 4
TESTED = api arguments items mongo storage
SCRAPY = $(VENV)/bin/python -m scrapy

# The targets use the sandbox and the embedded MongoDB, whatever the shell is set up for.
unexport JUSTONEAPI_TOKEN JUSTONEAPI_TOKEN_FILE JUSTONEAPI_ENV JUSTONEAPI_BASE_URL MONGO_URI MONGO_DATABASE

# Every process of the tests imports the same modules: they are compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo docs test lint bench bench-tutorial bench-pace bench-plans bench-promises bench-truth clean

help:
	@echo "make demo            crawl 200 synthetic authors into an embedded MongoDB and show one of them"
	@echo "make docs            print the reference pages of docs/ from the code"
	@echo "make test            run the tests"
	@echo "make lint            check style and types"
	@echo "make bench           compare speed, memory, waste and storage with other crawlers (ARGS=--quick: a smaller run)"
	@echo "make bench-tutorial  compare the speed with that of a tutorial's crawler"
	@echo "make bench-pace      measure how well limits are used that nobody told"
	@echo "make bench-plans     crawl overlapping queries and compare each plan with the calls made"
	@echo "make bench-promises  kill crawls and MongoDB, spoil answers, cap calls: is anything lost, or paid for twice?"
	@echo "make bench-truth     an API that misbehaves in one way after the other: what a crawl says, and what the next one does"
	@echo "make clean           remove what the targets made, except the dataset in .data"

# One answer in twelve fails, as it may with the real API; nothing of it is missing in the end.
demo: export JUSTONEAPI_ENV = sandbox
demo: export XINGTU_SANDBOX = --authors 2000 --fault 301=0.05 --fault 500=0.01 --fault garbage=0.01 --fault 302=0.01
demo: $(VENV)/.runtime
	$(SCRAPY) crawl author_square -a keyword=美食 -a search_type=CONTENT -a max_authors=200
	@echo
	@echo "One of the authors (. .venv/bin/activate; JUSTONEAPI_ENV=sandbox scrapy find authors shows them whole):"
	@$(SCRAPY) find authors --limit 1 --fields $(DEMO_FIELDS) | $(VENV)/bin/python -m json.tool --no-ensure-ascii

docs: $(VENV)/.runtime
	$(VENV)/bin/python -m xingtu_crawler.reference docs
	$(SCRAPY) codebook docs/codebook

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadgroup $(TESTED:%=--cov=xingtu_crawler.%) \
		--cov-report=term:skip-covered
	@for part in $(TESTED); do \
		echo "Lines of xingtu_crawler/$$part that are tested, in %, of which 95 are asked for:"; \
		$(VENV)/bin/python -m coverage report --include="xingtu_crawler/$$part/*" --format=total --fail-under=95 || exit 1; \
	done

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.bench
	$(VENV)/bin/python -m benchmarks.bench $(ARGS)

bench-tutorial: $(VENV)/.runtime
	$(VENV)/bin/python -m benchmarks.bench tutorial $(ARGS)

bench-pace: $(VENV)/.runtime
	$(VENV)/bin/python -m benchmarks.pace $(ARGS)

bench-plans: $(VENV)/.runtime
	$(VENV)/bin/python -m benchmarks.plans $(ARGS)

bench-promises: $(VENV)/.runtime
	$(VENV)/bin/python -m benchmarks.promises $(ARGS)

bench-truth: $(VENV)/.runtime
	$(VENV)/bin/python -m benchmarks.truth $(ARGS)

clean:
	rm -rf $(VENV) .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache htmlcov build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@for python in "$(PYTHON)" python3; do \
		if "$$python" -c '$(AT_LEAST_3_11)' 2>/dev/null; then \
			"$$python" -m venv "$(VENV)" && exit 0; rm -rf "$(VENV)"; exit 1; \
		fi; \
	done; \
	echo "error: Python 3.11 or newer is needed: install it, or name it as in make PYTHON=/path/to/python3.11" >&2; exit 1

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.bench: requirements.txt requirements-bench.txt | $(VENV)/bin/python
	$(PIP_INSTALL) -r requirements-bench.txt
	@touch $(VENV)/.runtime $@

$(VENV)/.dev: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(PIP_INSTALL) -r requirements-dev.txt
	@touch $(VENV)/.runtime $@
