# The project's commands. Each does its own set-up on a machine with Python 3.11 or newer, git and make, inside this
# checkout (.venv, .cache) and the package tools' own caches; nothing else is touched.
SHELL := /usr/bin/env bash
.DEFAULT_GOAL := help
.PHONY: help demo test bench check-long docs lock dev clean wheel system-packages
MAKEFLAGS += --no-print-directory

help:
	@echo "make demo        a simulated site on a real day's prices, about two minutes"
	@echo "make test        style, types, import contracts, and every test against the installed wheel"
	@echo "make check-long  the same tests with many more examples, and those that take minutes"
	@echo "make bench       the benchmarks' tables (JSON in .cache/bench.json); ONLY=name runs one"
	@echo "make docs        the reference pages anew from the code"
	@echo "make dev         .venv with the checkout itself installed, for development"
	@echo "make lock        requirements.lock anew from pyproject.toml"
	@echo "make clean       removes .venv, .cache and whatever was built"

wheel:
	@.ci/install wheel

dev:
	@.ci/install editable
	@echo "ready: . .venv/bin/activate"

system-packages:
	@.ci/system-packages && .ci/node-packages

demo: wheel
	@.venv/bin/hashwatt demo $(ARGS)

test: wheel system-packages
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-ci} .ci/check $(ARGS)

check-long: wheel system-packages
	@seed=$${SEED:-$$(date +%s)}; echo "SEED=$$seed make check-long runs these examples again"; \
	  HYPOTHESIS_PROFILE=long .ci/check --long --timeout 1800 --hypothesis-seed $$seed $(ARGS)

bench: wheel
	@PYTHONSAFEPATH=1 .venv/bin/python benchmarks/run.py --json .cache/bench.json $(ONLY)

docs: wheel
	@PYTHONSAFEPATH=1 .venv/bin/python docs/build.py

# No address of a registry gets into the lock; the resolver takes the oldest supported Python's point of view.
lock:
	@test -x .venv/bin/uv || .ci/install editable
	@.venv/bin/uv pip compile --quiet --system-certs pyproject.toml --all-extras --group dev --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --python-version 3.11 $(ARGS) -o requirements.lock
	@echo "requirements.lock: $$(grep -c '^[a-z]' requirements.lock) distributions"

clean:
	@rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
