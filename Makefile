# District Imports. `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.DELETE_ON_ERROR:

UV_VERSION := 0.13.9
BIN := .venv/bin
# An installed package that is compiled once starts Airflow in half the time; the caller's setting must not prevent it.
unexport PYTHONDONTWRITEBYTECODE
# Where a mirror is set for pip only, uv is told of it; uv reads no pip.conf.
PIP_INDEX = $(shell $(BIN)/python -m pip config list 2>/dev/null | sed -n "s/^\(:env:\|global\|user\|site\|install\)\.index-url='\(.*\)'$$/\2/p" | head -n 1)
UV = $(if $(UV_DEFAULT_INDEX)$(UV_INDEX_URL)$(PIP_INDEX),UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$(PIP_INDEX)}}") $(BIN)/uv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --compile-bytecode
DEV_FILES := requirements.txt requirements-celery.txt requirements-dev.txt
without = $$(sed -nE 's/^([a-z0-9._-]+)(\[[^]]*\])?==.*/--no-emit-package \1/p' $(1))
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal

.PHONY: help setup setup-dev demo test stories lint format docs lock bench bench-night bench-imports bench-live bench-profile bench-lock clean-bench clean-demo clean

help:  ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.uv-$(UV_VERSION):
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then echo "Python 3.11 or newer is needed; name it: make setup PYTHON=/path/to/python3"; exit 1; fi; \
	"$$found" -m venv .venv || { echo "$$found cannot make .venv; on Debian and Ubuntu install python3-venv, then run make again."; exit 1; }
	@echo "Installing uv $(UV_VERSION) into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@touch $@

.venv/.installed: requirements.txt pyproject.toml .venv/.uv-$(UV_VERSION)
	@echo "Installing the packages of requirements.txt into .venv (once; a minute or two)"
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.installed-dev: $(DEV_FILES) .venv/.installed
	@echo "Installing what tests and linters need into .venv"
	@$(INSTALL) $(addprefix -r ,$(DEV_FILES))
	@touch $@

setup: .venv/.installed  ## .venv with everything that running needs

setup-dev: .venv/.installed-dev  ## .venv with what tests and linters need too

demo: .venv/.installed  ## two nights of a synthetic district, then the UI until Ctrl-C; EXIT=1 ends after the table
	@exec $(BIN)/district demo $(if $(EXIT),--exit) $(if $(SIZE),--size $(SIZE))

test: .venv/.installed-dev  ## all tests, by two workers; ARGS='-k enrollment' for some
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

stories: .venv/.installed-dev  ## a semester change and a school year's turn through a live Airflow: several minutes each
	@$(BIN)/python -m pytest -m story tests/end_to_end $(ARGS)

lint: .venv/.installed-dev  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.installed-dev  ## let ruff format and fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: .venv/.installed  ## rewrite the generated pages of docs/reference
	@$(BIN)/python -m district.reference

lock: .venv/.uv-$(UV_VERSION)  ## recompile the requirements files from pyproject.toml
	@$(LOCK) pyproject.toml --group build -o requirements.txt
	@$(LOCK) --group celery -c requirements.txt $(call without,requirements.txt) -o requirements-celery.txt
	@$(LOCK) --group dev -c requirements.txt -c requirements-celery.txt \
	  $(call without,requirements.txt requirements-celery.txt) -o requirements-dev.txt

benchmarks/.venv-%/.installed: benchmarks/requirements-%.txt .venv/.uv-$(UV_VERSION)
	@echo "Installing what other loaders need into $(@D) (once)"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python --compile-bytecode -r $<
	@touch $@

bench: .venv/.installed-dev benchmarks/.venv-peers/.installed benchmarks/.venv-earthmover/.installed  ## imports and other loaders side by side; ARGS='--rows 1000000 --only ours'
	@$(BIN)/python benchmarks/bench.py $(ARGS)

bench-imports: .venv/.installed-dev  ## what each task spends on imports, and the DAG folder's parse time
	@$(BIN)/python benchmarks/imports.py

bench-night: .venv/.installed-dev  ## a night of four data sets by step; SIZE=large
	@$(BIN)/python benchmarks/night.py $(if $(SIZE),--size $(SIZE)) $(ARGS)

bench-live: .venv/.installed-dev  ## a night through a live Airflow, and Airflow's share of it; SIZE=large
	@$(BIN)/python benchmarks/live_night.py $(if $(SIZE),--size $(SIZE))

bench-profile: .venv/.installed-dev benchmarks/.venv-peers/.installed  ## where an import's time goes, as a picture
	@$(BIN)/python benchmarks/profile_nights.py $(ARGS)

bench-lock: .venv/.uv-$(UV_VERSION)  ## recompile the other loaders' requirements files
	@for name in peers earthmover; do \
	  UV_CUSTOM_COMPILE_COMMAND="make bench-lock" $(UV) pip compile --quiet --universal --python-version 3.11 \
	    benchmarks/requirements-$$name.in -o benchmarks/requirements-$$name.txt || exit 1; \
	done

clean-bench:  ## remove the benchmarks' files and environments
	@rm -rf benchmarks/work benchmarks/.venv-*

clean-demo:  ## remove the demo's data
	@if [ -L .demo/postgres ]; then rm -rf "$$(readlink .demo/postgres)"; fi
	@rm -rf .demo

clean: clean-demo clean-bench  ## remove the demo's and benchmarks' data, caches and .venv
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
