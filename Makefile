# make help lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Written last, so a half-made environment has none. It names the folder that the environment was made in.
STAMP := $(VENV)/made-in
# The first interpreter that starts and is new enough; a pyenv shim of a version that is not active does not start.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do \
    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)

# The tests wait for disks and servers half of their time: more workers than cores.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 3)))

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# --- for people who want to see it ---------------------------------------------------------------------------------

.PHONY: demo
demo: $(STAMP) ## install into .venv and watch stores learn from each other
	@$(BIN)/eventsync demo

# --- for people who change it --------------------------------------------------------------------------------------

.PHONY: test
test: debian-packages $(STAMP) check ## install what the tests need, then check everything

.PHONY: check
check: check-format check-lint check-types check-layers check-tests ## check everything, install nothing

.PHONY: check-format check-lint check-types check-layers check-tests
check-format: needs-venv
	@echo "== Format (ruff format)"
	@$(BIN)/ruff format --check .

check-lint: needs-venv
	@echo "== Style (ruff check)"
	@$(BIN)/ruff check --quiet .

check-types: needs-venv
	@echo "== Types (mypy)"
	@$(BIN)/mypy

check-layers: needs-venv
	@echo "== Layers (lint-imports)"
	@$(BIN)/lint-imports --no-logo --no-cache

check-tests: needs-venv
	@echo "== Tests (pytest, $(WORKERS) at once)"
	@$(BIN)/pytest --no-header -n $(WORKERS)

.PHONY: format
format: needs-venv ## format, and mend the style where that is safe
	@echo "== Formatting"
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: deep
deep: $(STAMP) ## every test with many more examples, and the tests that take minutes
	@echo "== Tests, deep (pytest, $(WORKERS) at once; expect many minutes)"
	@HYPOTHESIS_PROFILE=deep EVENTSYNC_DEEP=1 $(BIN)/pytest --no-header -n $(WORKERS) --timeout 3600

.PHONY: crash
crash: $(STAMP) ## every test that cuts writes short, kills processes or (as root) cuts the power
	@echo "== Tests of crashes (pytest, $(WORKERS) at once; expect many minutes)"
	@EVENTSYNC_DEEP=1 $(BIN)/pytest --no-header -n $(WORKERS) -m crash --timeout 3600

.PHONY: attack
attack: debian-packages $(STAMP) ## play every attack that docs/security.md tells of, and print what came of it
	@echo "== Attacks (expect a minute or two)"
	@$(BIN)/python -m tests.attacks

.PHONY: bench
bench: $(STAMP) ## measure speed and size
	@echo "== Benchmarks (expect minutes)"
	@$(BIN)/python -m benchmarks

.PHONY: lock
lock: ## write requirements-ci.txt anew from pyproject.toml, with the newest releases
	@echo "== Resolving the dependencies"
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	"$(PYTHON)" -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check uv; \
	echo '# Everything the project and its tests need, pinned. Written by "make lock" from pyproject.toml; not by hand.' \
	    > "$$scratch/list"; \
	"$$scratch/venv/bin/uv" pip compile --quiet --no-config --no-header --universal --python-version 3.11 \
	    --generate-hashes --extra dev pyproject.toml >> "$$scratch/list"; \
	cp "$$scratch/list" requirements-ci.txt

.PHONY: clean
clean: ## remove .venv and everything else that was made here
	@echo "== Cleaning"
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	@find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -----------------------------------------------------------------------------------------------

.PHONY: debian-packages
debian-packages:
	@PYTHON="$(PYTHON)" scripts/install-debian-packages

# It is made anew when the dependencies changed, when the folder was moved, or when its interpreter went away.
VENV_WORKS := $(shell [ "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c 'print("yes")' 2>/dev/null)
ifneq ($(VENV_WORKS),yes)
.PHONY: $(STAMP)
endif

# Twice quiet: errors are still printed.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

$(STAMP): pyproject.toml requirements-ci.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "no Python 3.11 or newer: found '$(PYTHON)'; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@PYTHON="$(PYTHON)" scripts/install-debian-packages python3-venv
	@echo "== Making $(VENV) from requirements-ci.txt (a minute or two)"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes --requirement requirements-ci.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@echo "$(CURDIR)" > $@

.PHONY: needs-venv
needs-venv:
	@[ -x $(BIN)/python ] || { echo "there is no $(VENV) yet: run 'make test' once" >&2; exit 1; }
