# Needs Python 3.11 or newer with venv, and make. Everything else is installed into .venv, as wheels.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Throw-away secrets for a suite that runs against a database server.
TEST_SECRETS = SECRET_KEY="$${SECRET_KEY:-only-for-tests-0123456789-0123456789-0123456789-0123}" \
	FIELD_ENCRYPTION_KEYS="$${FIELD_ENCRYPTION_KEYS:-MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}"

unexport PYTHONDONTWRITEBYTECODE  # images set it: the suite would compile itself in each process

.PHONY: help setup dev run bench check test lint types messages

help:
	@echo "make run     a portal, a worker and a simulated bridge, ready to use"
	@echo "make check   lint, types and the quick half of the suite, before each commit"
	@echo "make test    the suite; with DATABASE_URL and REDIS_URL set, on those; ARGS=tests/api runs one folder"
	@echo "make bench   what it can take, against its peers, on DATABASE_URL and REDIS_URL; ARGS=--quick for a first look"
	@echo "make setup   only install; make lint; make types; make messages (compile the translations)"

setup: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Linkdesk needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: install it and try again."; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: requirements.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements-dev.txt
	@touch $@

# mysqlclient is built here: the one package without a wheel.
$(VENV)/.installed-mysql: requirements-mysql.txt $(VENV)/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-mysql.txt || { \
		echo; echo "mysqlclient could not be built. It needs a compiler, pkg-config and the client's headers. On Debian:"; \
		echo "  apt-get install build-essential python3-dev pkg-config default-libmysqlclient-dev"; exit 1; }
	@touch $@

$(VENV)/.installed-bench: requirements-bench.txt $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements-bench.txt
	@touch $@

DATABASE_DRIVER = $(if $(filter mysql%,$(DATABASE_URL)),$(VENV)/.installed-mysql)

run: setup $(DATABASE_DRIVER)
	@$(BIN)/python -m deploy.run

# On SQLite. What pytest -m quick means is in tests/support/quick.py: it computes and hardly waits, so one process a core.
check: lint types
	env -u DATABASE_URL -u REDIS_URL $(BIN)/python -m pytest -q -n logical --dist loadfile --no-loadscope-reorder -m quick $(ARGS)

test: dev $(DATABASE_DRIVER)
	$(if $(DATABASE_URL),$(TEST_SECRETS)) $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.installed-bench $(DATABASE_DRIVER)
	@$(TEST_SECRETS) $(BIN)/python -m benchmarks $(ARGS)

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(TEST_SECRETS) $(BIN)/mypy .

messages: dev
	$(BIN)/pybabel compile --domain django --directory locale --statistics
