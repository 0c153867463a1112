# Everything a developer runs. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test chaos lint bench lock clean services

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(STAMP) ## the main job on this machine, with an embedded broker and real data
	$(BIN)/offbeat demo

test: $(STAMP) services ## the tests, on a real Kafka and a real Redis
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

chaos: $(STAMP) services ## 48 faults on three Kafka nodes and Redis, and what they leave: 15 minutes
	$(BIN)/python -m tests.chaos --faults 48

lint: $(STAMP) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) services ## throughput as a share of a bare consumer loop
	$(BIN)/python -m tests.benchmarks.throughput

lock: $(STAMP) ## write the lock files anew from pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --extra training --extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url pyproject.toml -o requirements-worker.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --extra training pyproject.toml -o requirements-trainer.lock

clean: ## remove what the other targets made
	rm -rf $(VENV) .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): requirements.lock requirements-bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "offbeat needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes -r requirements-bootstrap.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

services:
	@missing=; for tool in java mvn redis-server; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -n "$$OFFBEAT_TEST_KAFKA" ] && missing=$$(echo "$$missing" | sed 's/java//; s/mvn//'); \
	[ -n "$$OFFBEAT_TEST_REDIS" ] && missing=$$(echo "$$missing" | sed 's/redis-server//'); \
	if [ -n "$$(echo $$missing)" ]; then \
		echo "The tests start a real Kafka and a real Redis. Missing here: $$missing" >&2; \
		echo "Debian and Ubuntu: apt-get install default-jdk-headless maven redis-server" >&2; \
		echo "macOS: brew install openjdk maven redis" >&2; \
		echo "Or name running ones: OFFBEAT_TEST_KAFKA=host:9092 OFFBEAT_TEST_REDIS=redis://host:6379/0 make test" >&2; \
		exit 1; \
	fi
