# Every habit of the house is a script in scripts/; this file only names them.
.DEFAULT_GOAL := help
.PHONY: help demo stop install lint check test soak bench docs lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: ## install, start the service, watch it write a lesson and plan a day; the service stays up
	@scripts/install runtime && exec .venv/bin/python scripts/demo.py

stop: ## stop the service that `make demo` left running
	@[ -x .venv/bin/python ] || exit 0; exec .venv/bin/python scripts/stop.py

install: ## everything developers need, into .venv
	@exec scripts/install dev

lint: ## ruff, mypy, pyright, import-linter, requirements
	@scripts/install dev && exec scripts/lint

check: ## lint and unit tests, about a minute
	@scripts/install dev && exec scripts/check

test: ## everything that CI runs
	@scripts/install dev clients && scripts/install-system && exec scripts/test

soak: ## the long fault runs
	@scripts/install dev clients && exec scripts/soak

bench: ## the benchmarks, each beside its peers
	@scripts/install dev && exec scripts/bench

docs: ## build the documentation into site/
	@scripts/install docs && exec scripts/docs

lock: ## pin what pyproject.toml asks for, with hashes (UPGRADE=--upgrade for the newest)
	@scripts/install dev && exec scripts/lock $(UPGRADE)

clean: ## remove what the other commands made, except the service's data
	@exec scripts/clean
