# Everything a developer runs. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCKS := deploy/requirements
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test fast format lint docs pictures bench chaos lock clean services

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(STAMP) ## show offbeat at work on this machine: one minute, nothing else to install
	$(BIN)/offbeat demo

test: $(STAMP) services ## run all tests, on a real Kafka and a real Redis
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

fast: $(STAMP) ## run the tests that need no service and little time: under a minute
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not service and not slow"

format: $(STAMP) ## fix the style of the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP) ## write the generated page of the docs anew: docs/configuration.md
	$(BIN)/python -m tests.docs.configuration

pictures: $(STAMP) ## draw the pictures in docs/pictures anew (needs chromium)
	$(BIN)/python -m tests.docs.pictures

bench: $(STAMP) services ## measure throughput as a share of a bare consumer loop
	$(BIN)/python -m tests.benchmarks.throughput

chaos: $(STAMP) services ## inject 48 faults into three Kafka nodes, Redis and workers, and check what is left: 15 minutes
	$(BIN)/python -m tests.chaos --faults 48

lock: $(STAMP) ## write the lock files anew from pyproject.toml
	$(COMPILE) --extra training --extra dev -o $(LOCKS)/dev.lock
	$(COMPILE) -o $(LOCKS)/worker.lock
	$(COMPILE) --extra training -o $(LOCKS)/trainer.lock

clean: ## remove everything that the other targets made
	rm -rf $(VENV) .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): $(LOCKS)/dev.lock $(LOCKS)/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "offbeat needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes -r $(LOCKS)/bootstrap.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r $(LOCKS)/dev.lock
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
