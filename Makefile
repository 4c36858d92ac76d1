# Two commands for a new user: `make demo` and `make test`. Everything is built in .venv, from pip's index.

PYTHON ?= python3
# Passed on to pytest, e.g. make test PYTEST='-k heart -s'
PYTEST ?= -n auto
BIN := .venv/bin
TORCH := torch==2.13.0

.PHONY: demo test check bench reference clean

demo: .venv/demo.stamp
	@$(BIN)/medfl run examples/breast-cancer/study.toml --home build/demo
	@$(BIN)/medfl report breast-cancer --home build/demo -o build/demo/report.html

# Formatting, types and tests; what continuous integration runs.
test: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/reference.py --check
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest $(PYTEST)

bench: .venv/dev.stamp
	$(BIN)/python bench/simulate.py

reference: .venv/dev.stamp
	$(BIN)/python tools/reference.py

clean:
	rm -rf .venv build dist

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "MEDfl needs Python 3.11 or newer; set PYTHON=python3.x"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	@echo "Building the environment (about a minute, once)…"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,demo]'
	@touch $@ .venv/demo.stamp
