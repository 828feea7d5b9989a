# make run   the main job on bundled images     make test   the ordinary tests
# make check what CI runs                       make bench  the benchmarks
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One BLAS thread a process: workers are the parallelism.
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export MKL_NUM_THREADS = 1

.PHONY: help run test test-slow check format lint types bench clean

help:
	@echo "make run    set up, then value 4,000 images with known label errors (2 minutes, set-up apart)"
	@echo "make test   set up, then run the ordinary tests"
	@echo "make check  tests, lint and types, as CI runs them"
	@echo "make bench  the benchmarks behind the README's figures"

$(BIN)/apportion: pyproject.toml constraints.txt
	@echo "setting up $(VENV): about 2 minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) setuptools wheel
	@$(PIP) -e '.[examples,test,lint]'
	@touch $(BIN)/apportion

run: $(BIN)/apportion
	$(BIN)/apportion run examples/label_errors/job.yaml

test: $(BIN)/apportion
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu"

test-slow: $(BIN)/apportion
	@$(PIP) -e '.[examples,test,server,trees,cluster]'
	$(BIN)/python -m pytest -m slow --timeout 1800

format: $(BIN)/apportion
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(BIN)/apportion
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(BIN)/apportion
	$(BIN)/mypy

check: lint types test

bench: $(BIN)/apportion
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) build *.egg-info
