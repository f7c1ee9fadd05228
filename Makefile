# Everything runs in .venv, which the first target that needs it makes.
# PYTHON: any Python from 3.11 on.  UI=1: `make demo` leaves Airflow and the sandbox running.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
FAST := tests/protocol tests/wire

.PHONY: help demo demo-stop test test-fast test-matrix chaos simulate bench screenshots check format dist docs install clean

help:  ## Show the targets.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(STAMP)  ## Publish prices in a private Airflow through an embedded Zilliant.
	@$(RUN) -m tools.demo $(if $(UI),--ui)

demo-stop: $(STAMP)  ## End what `make demo UI=1` left running.
	@$(RUN) -m tools.demo --stop

test: check  ## Everything: lint, types, all tests, and the matrix of the other Airflows and Pythons.
	$(RUN) -m pytest -n 2 $(FAST)
	$(RUN) -m pytest -n 3 --durations=15 tests $(addprefix --ignore=,$(FAST))
	@$(RUN) -m tools.matrix --rest

test-fast: $(STAMP)  ## The tests to run while coding: protocol and socket.
	$(RUN) -m pytest -n 2 $(FAST)

test-matrix: $(STAMP)  ## The fast suite and an end-to-end run in Airflow 2.11 to 3.3 (ONLY=3.0 for one), and a table.
	@$(RUN) -m tools.matrix $(addprefix --only ,$(ONLY))

chaos: $(STAMP)  ## Kill, clear, edit and break over 200 runs of a whole Airflow (RUNS=, SEED=, ONLY=2.11), and count.
	@$(RUN) -m tools.chaos --runs $(or $(RUNS),200) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--airflow $(ONLY))

simulate: $(STAMP)  ## Live 10,000 lives of tasks in virtual time (LIVES=, SEED=; LIFE= tells the story of one).
	@$(RUN) -m tests.simulation --lives $(or $(LIVES),10000) --seed $(or $(SEED),1) $(if $(LIFE),--life $(LIFE))

bench: $(STAMP)  ## Measure against a floor and other providers, 20 minutes (PARTS="queue imports ...", QUICK=1).
	@$(RUN) -m tests.benchmarks $(if $(PARTS),--parts $(PARTS)) $(if $(QUICK),--quick)

screenshots: $(STAMP)  ## Take the README's pictures anew, in a real browser (ONLY=sandbox for one).
	@$(RUN) -m tools.screenshots $(ONLY)

check: $(STAMP)  ## Lint, format and types.
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(STAMP)  ## Format the code.
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

dist: $(STAMP)  ## Build the wheel and the sdist into dist/, and check them.
	rm -rf dist
	$(RUN) -m build --installer uv
	$(RUN) -m twine check --strict dist/*

docs: $(STAMP)  ## Build the documentation into site/; a warning is an error.
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet --strict
	@echo "Built: site/index.html"

install: $(STAMP)  ## Make .venv with all that the other targets need.

# The stamp comes last: an installation that was interrupted is done again.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say PYTHON=... to name one") if sys.version_info < (3, 11) else None'
	@echo "Making $(VENV) and installing Airflow into it (about a minute, 400 MB)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "On Debian: apt-get install python3-venv"; exit 1; }
	@$(RUN) -m pip install --quiet --disable-pip-version-check uv
	@$(RUN) -m uv pip install --quiet --python $(RUN) --editable '.[dev]' || { \
		echo "uv could not; trying pip, which takes a few minutes"; \
		$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; }
	@touch $@
	@echo "Installed."

clean:  ## Remove .venv and all that tests and demo leave behind.
	@if [ -e $(STAMP) ]; then $(RUN) -m tools.demo --stop; fi
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .environments .benchmarks dist site
