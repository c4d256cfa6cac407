# The two commands of the README are `make demo` and `make test`; both set up all they need first.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin

# Tests start many processes, and each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo up test quick check package lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    sell one hosting product on a laptop: order, payment, invoice, mails"
	@echo "make up      the same system, running until Ctrl-C"
	@echo "make test    all tests; those that need Chromium say so where it is missing"
	@echo "make quick   the tests that need nothing but memory, within a minute"
	@echo "make check   ruff, mypy --strict, import-linter, architecture tests"
	@echo "make package build the broker's wheel and sdist into dist/, and use each alone in an empty environment"
	@echo "make lock    resolve requirements/*.lock anew from pyproject.toml"

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements/dev.lock deploy/install-system-packages.sh
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or say where it is with make PYTHON=…"; exit 1; }
	@sh deploy/install-system-packages.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/bbws demo

up: setup
	@$(BIN)/bbws up

# Four processes on two cores: some tests wait for a message or a process, and leave a core to others.
test: setup
	@$(BIN)/pytest -n 4 --dist loadfile --durations=10

quick: setup
	@$(BIN)/pytest -n 2 -m quick

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/architecture

# Installs from the index that pip knows: lowest versions first, then the newest.
package: setup
	@$(BIN)/python -m tests.packaging.alone dist

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

lock: setup
	$(COMPILE) --extra local --extra dev -o requirements/dev.lock pyproject.toml
	$(COMPILE) --constraint requirements/dev.lock --extra local -o requirements/local.lock pyproject.toml
	$(COMPILE) --constraint requirements/dev.lock -o requirements/runtime.lock pyproject.toml
	echo hatchling | $(COMPILE) --constraint requirements/dev.lock -o requirements/build.lock -

clean:
	rm -rf $(VENV) .bbws dist build
