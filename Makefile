# Every target does its own set-up; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
# Much of their time is waiting for real servers: several files at once; ATONCE= for one by one.
ATONCE := -n 3 --dist loadfile
# What fails once among real servers and firmware is tried again, and named; see tests/second_tries.py.
AGAIN := -p tests.second_tries --reruns 1 --rerun-show-tracebacks
UNIT := not services and not machines and not long
SERVICES := services and not machines and not long
MACHINES := machines and not long
DIST ?= dist/installer
INSTALLER := $(addprefix deploy/,install.sh provisioning.compose.yaml provisioning.example.yaml server-types.example.yaml)
PROVIDER := tests/services/oidc_provider

.PHONY: help setup setup-test run test test-unit test-services test-machines test-long lint \
	format openapi screenshots bench faults fuzz image bootstrap dev-up dev-down run-api run-agent build docker installer clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up: idempotent, and quick when nothing is to be done ---

setup: .venv/run.stamp ## .venv with Sprout in it, and Debian packages where root
	@deploy/packages.sh --or-say run

setup-test: .venv/dev.stamp ## the same, with what the tests need
	@deploy/packages.sh --or-fail run test
	@$(MAKE) --no-print-directory $(PROVIDER)/node_modules/.package-lock.json

# A certified OpenID provider, pinned with the hash of each of its packages.
$(PROVIDER)/node_modules/.package-lock.json: $(PROVIDER)/package-lock.json
	npm ci --silent --prefix $(PROVIDER)
	@touch $@

.venv/bin/python:
	@deploy/packages.sh --or-say venv
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sprout needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

# deploy/ is no part of the package; a .pth lets the checkout's own `sprout` find the virtual rack.
.venv/run.stamp: pyproject.toml Makefile | .venv/bin/python
	$(PIP) install --editable .
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		| { read -r site && echo '$(CURDIR)' > "$$site/sprout-checkout.pth"; }
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	$(PIP) install --editable '.[dev]'
	@touch $@

# --- the product ---

run: setup ## everything, with one virtual machine taken to active
	$(BIN)/sprout up --rack 1

run-api: setup ## the edge of the working copy
	$(BIN)/sprout edge

run-agent: setup ## the site of the working copy
	$(BIN)/sprout site

bootstrap: setup ## set up, and make .env from .env.example
	@[ -e .env ] || { cp .env.example .env && echo 'made .env'; }

image: setup ## the deployable Debian image, kernel and initramfs; and those that take inventory
	$(BIN)/python -m deploy.image
	$(BIN)/python -m deploy.image --inventory

# --- tests; a missing tool is a failure, never a skip ---

test: test-unit test-services test-machines ## all three suites

test-unit: setup-test ## the pure core: seconds
	$(PYTEST) -m '$(UNIT)' $(ARGS)

test-services: setup-test ## with real PostgreSQL, RabbitMQ and clients: minutes
	$(PYTEST) $(ATONCE) $(AGAIN) -m '$(SERVICES)' $(ARGS)

test-machines: setup-test ## with real firmware
	$(PYTEST) $(AGAIN) -m '$(MACHINES)' $(ARGS)

test-long: setup-test ## the same suites at full size
	$(PYTEST) -m 'long' $(ARGS)

faults: setup-test ## N (200) schedules of killed and stopped processes, and as many storms of messages
	FAULTS=$(or $(N),200) $(PYTEST) -q tests/faults/test_engine_under_faults.py
	$(BIN)/python -m tests.faults.crash $(or $(N),200)

fuzz: setup-test ## N (1000000) hostile requests of each protocol, by a coverage-guided fuzzer
	$(BIN)/python -m tests.fuzz --runs $(or $(N),1000000) $(ARGS)

bench: setup-test ## figures: seconds per stage, memory, queues, engine, beside peers
	$(PIP) install --editable ".[bench]"
	$(BIN)/python -m tests.bench $(ARGS)

lint: .venv/dev.stamp ## ruff, mypy, import contracts, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m config.docs --check

format: .venv/dev.stamp ## have ruff format and mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

screenshots: setup-test ## pictures of every page, in build/screenshots; those of the README too
	$(BIN)/python -m tests.screenshots --readme $(ARGS)

openapi: .venv/run.stamp ## edge/openapi.yaml, the contract of the API, made of the code
	$(BIN)/python -m edge.openapi --write

# --- services of development ---

dev-up: .venv/run.stamp ## PostgreSQL and RabbitMQ on 5432 and 5672
	$(BIN)/python -m deploy.dev up

dev-down: .venv/run.stamp ## stop them
	$(BIN)/python -m deploy.dev down

# --- what is shipped ---

build: .venv/run.stamp ## the wheel, in dist/
	$(PIP) wheel --no-deps --wheel-dir dist .

docker: ## the container image
	$$(command -v docker || command -v podman) build --file deploy/Dockerfile \
		--tag sprout --tag "sprout:$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" .

installer: ## what deploy/install.sh fetches from a web server, with its SHA256SUMS, in DIST (dist/installer)
	mkdir -p '$(DIST)'
	cp $(INSTALLER) '$(DIST)'
	cd '$(DIST)' && sha256sum $(notdir $(INSTALLER)) > SHA256SUMS

clean: ## caches and what was built
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
