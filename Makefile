# Everything a person types. Python 3.11+ with venv is all that `make run` needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST_ARGS ?= -n 2 --dist loadfile
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: install run test lint bench format lock clean
.DEFAULT_GOAL := run

install: $(VENV)/.installed
run: install
	@exec $(BIN)/sojourn serve --config config/demo

test: $(VENV)/.dev $(VENV)/.aws-cli
	@tests/system-packages
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Sojourn needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.installed
	$(PIP) -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	$(PIP) -r requirements/bench.txt
	@touch $@

# The AWS command line pins older libraries than the gateway needs, so it has an environment of its own.
$(VENV)/.aws-cli: requirements/aws-cli.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/aws-cli
	$(VENV)/aws-cli/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/aws-cli.txt
	@touch $@

# Needs uv (a developer's tool, not a dependency).
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
lock:
	cd requirements && $(LOCK) ../pyproject.toml build.in -c constraints.in -o run.txt
	cd requirements && $(LOCK) ../pyproject.toml dev.in -c run.txt -o dev.txt
	cd requirements && $(LOCK) ../pyproject.toml dev.in bench.in -c dev.txt -o bench.txt
	cd requirements && $(LOCK) aws-cli.in -o aws-cli.txt

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
