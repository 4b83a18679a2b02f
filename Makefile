# `make venv` sets up .venv and gets the networks' files, `make demo` runs the whole chain, `make test` runs the tests,
# `make test-quick` those that take less than some 20 seconds each, `make lint` format, lint and types;
# `make test-wheel` builds the package and uses it in fresh environments; `make bench` runs the benchmarks of half an
# hour and writes their tables to BENCH_OUT.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HEAD ?= builtin
OUTPUT ?= output/demo
BENCH_OUT ?= bench/out

.PHONY: venv demo test test-quick test-wheel lint bench

venv: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/vhap fetch-models
	touch $@

demo: venv
	$(BIN)/python vhap/demo.py --output $(OUTPUT) --head $(HEAD) $(if $(VIDEO),--video "$(VIDEO)")

$(VENV)/.tests-ready: $(VENV)/.ready tests/requirements.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --requirement tests/requirements.txt
	touch $@

test: $(VENV)/.tests-ready
	$(BIN)/python -m pytest -n 2 -q

test-quick: $(VENV)/.tests-ready
	$(BIN)/python -m pytest -n 2 -q -m "not slow"

test-wheel: venv
	.ci/test_wheel $(BIN)/python

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: venv
	$(BIN)/python bench/run_all.py --out "$(BENCH_OUT)"
