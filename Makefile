# Two commands for a new user: `make demo` and `make test`. Everything is built in .venv, from pip's index.

PYTHON ?= python3
# Passed on to pytest, e.g. make test PYTEST='-k heart -s'
PYTEST ?= -n auto
BIN := .venv/bin
TORCH := 'torch==2.13.0' 'opacus>=1.6,<2'

.PHONY: demo federation test fuzz check ray kill-matrix bench bench-pages bench-round browser pictures reference supernodes proof-of-concept clean

demo: .venv/demo.stamp
	@$(BIN)/medfl run examples/breast-cancer/study.toml --home build/demo
	@$(BIN)/medfl report breast-cancer --home build/demo -o build/demo/report.html

# Four real hospitals over a hub on this machine, each a process of its own, compared with one process; some minutes.
federation: .venv/dev.stamp
	@NO_COLOR=1 $(BIN)/python examples/heart/federate.py $(or $(DATA),../shared/data/heart) build/federation

# Formatting, types and tests; what continuous integration runs.
test: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/reference.py --check
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest $(PYTEST)

# The tests of whatever arrives from elsewhere, with many more examples, drawn anew; some minutes.
fuzz: .venv/dev.stamp
	MEDFL_FUZZ=$(or $(TIMES),30) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest tests/fuzz --timeout 3600 $(PYTEST)

# Ray, its workers, its machines and the hub are killed while they work; a minute or two.
ray: .venv/dev.stamp
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -m ray tests/run/ray

# The processes of a federation are killed at every stage in which they have work, in three modes, and much else goes wrong;
# prints a table, and writes it into build/kill-matrix.md; twenty minutes. As root it also mounts a small disk and pulls a cable.
kill-matrix: .venv/dev.stamp
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -m matrix tests/faults/matrix

bench: .venv/dev.stamp
	$(BIN)/python bench/simulate.py

# How long pages take with a thousand runs stored, how live a run of fifty sites is to fifty readers, and how soon a browser
# shows something; three minutes.
bench-pages: .venv/dev.stamp
	$(BIN)/python bench/pages.py
	$(BIN)/python bench/watching.py
	$(BIN)/python bench/painting.py

# What a round over a hub costs: three sites, then twenty, then two hundred rounds; five minutes on a quiet machine.
bench-round: .venv/dev.stamp
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python bench/round.py
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python bench/round.py --sites 20 --rounds 8
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python bench/round.py --soak 200

# Every table and figure of docs/explanation/proof-of-concept.md; about an hour, less when started again.
proof-of-concept: .venv/dev.stamp
	@test -f "$(DATA)" || { echo "Name the diabetes table: make proof-of-concept DATA=diabetes.csv (see examples/diabetes)"; exit 2; }
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python examples/diabetes/proof_of_concept.py "$(DATA)"

# The exported Flower app under flwr run, on a SuperLink with two and three stock SuperNodes; about five minutes.
supernodes: .venv/dev.stamp
	MEDFL_SUPERNODES=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest tests/run/flower/test_supernodes.py -s

# The pages in a real browser (Chromium); pictures of each are left in build/screenshots.
browser: .venv/dev.stamp
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest tests/browser tests/site_page/test_in_a_browser.py

# The pictures of the documentation, cut from those.
pictures: browser
	$(BIN)/python tools/pictures.py

reference: .venv/dev.stamp
	$(BIN)/python tools/reference.py

clean:
	rm -rf .venv build dist

# Debian ships Python without the part that makes environments; as root it is installed, else it is asked for.
.venv/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "MEDfl needs Python 3.11 or newer; name one with make PYTHON=python3.x"; exit 2; }
	@rm -rf .venv
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y python3-venv && rm -rf .venv && $(PYTHON) -m venv .venv; } \
	  || { rm -rf .venv; echo "Python cannot make an environment. On Debian: sudo apt-get install python3-venv. Then try again."; exit 2; }
	@touch $@

.venv/demo.stamp: pyproject.toml | .venv/made.stamp
	@echo "Building the environment (about a minute, once)…"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/made.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,demo]'
	@touch $@ .venv/demo.stamp
