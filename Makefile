# `make run` and `make test` set up everything that they need; nothing else is to be installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"
INSTALL_SELF = $(UV) pip install --quiet --python $(BIN)/python --no-deps \
	--build-constraints requirements/build.txt --editable .
PYTEST_ARGS ?= -n 2
COMPILED_TESTS := tests/controlplane tests/dataplane tests/switchgear tests/e2e tests/test_compiled.py \
	tests/test_imports.py

.DEFAULT_GOAL := help
.PHONY: help run story test test-compiled compiled check format lint types imports bench bench-full bench-peers bench-footprint bench-reload bench-guard golden lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

run: $(VENV)/.demo ## Set up, then run the demo: two real model servers behind the sidecar
	@$(BIN)/switchgear demo

story: $(VENV)/.demo ## Set up, then run the demo that breaks and mends itself
	@$(BIN)/switchgear demo --story

test: $(VENV)/.dev ## Set up, then run all tests
	$(BIN)/pytest $(PYTEST_ARGS)

compiled: $(VENV)/.dev ## Set up, then compile the request path into build/compiled, if it has changed
	@$(BIN)/python tools/compiled.py

# The compiled packages come before the checkout, in the tests and in all that they start.
test-compiled: compiled ## Run the tests of what is shipped with the request path compiled
	SWITCHGEAR_TESTS=compiled PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR) \
		$(BIN)/pytest $(PYTEST_ARGS) -o pythonpath= $(COMPILED_TESTS)

check: lint types imports test test-compiled ## What CI runs: format, lint, types, imports, all tests

lint: $(VENV)/.dev ## Check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev ## Check types
	$(BIN)/mypy

imports: $(VENV)/.dev ## Check the import rules
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(VENV)/.dev ## Write the golden files anew; read the diff as if someone else wrote it
	SWITCHGEAR_GOLDEN=write $(BIN)/pytest -q $(PYTEST_ARGS) -k golden

# Without a compiler a benchmark measures interpreted code, and says so.
.PHONY: shipped
shipped: $(VENV)/.dev
	@$(BIN)/python tools/compiled.py || echo "measuring interpreted code"

bench: shipped ## Measure beside a bare proxy and the peers that are installed, in a few minutes
	$(BIN)/python bench/compare.py $(BENCH_ARGS)

bench-full: shipped ## The same in nine rounds, with sweeps; writes bench/RESULTS.md
	$(BIN)/python bench/compare.py --plan full $(BENCH_ARGS)

bench-peers: $(VENV)/bin/uv ## Install Envoy, Portkey and LiteLLM into bench/.peers, to be measured
	$(BIN)/python bench/peers.py --uv $(UV)

bench-footprint: shipped ## Measure start-up and memory beside a bare aiohttp proxy
	$(BIN)/python bench/footprint.py

bench-reload: shipped ## Measure how soon a change is live, and what stands still meanwhile
	$(BIN)/python bench/reload.py

bench-guard: shipped ## Count the instructions of a request, and fail if they are a tenth above those published
	$(BIN)/python bench/guard.py

lock: $(VENV)/bin/uv ## Resolve the dependencies anew into requirements/
	$(LOCK) pyproject.toml --extra demo --group dev -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	$(LOCK) -c requirements/dev.txt pyproject.toml --extra demo -o requirements/demo.txt
	$(LOCK) -c requirements/dev.txt pyproject.toml --group build -o requirements/build.txt
	echo uv | $(LOCK) - -o requirements/uv.txt

clean: ## Remove the environment and all caches
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .demo

$(VENV)/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# The project itself is installed in editable form, without its dependencies: those come locked.
$(VENV)/.demo: $(VENV)/bin/uv requirements/demo.txt pyproject.toml
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/demo.txt
	@$(INSTALL_SELF)
	@touch $@

$(VENV)/.dev: $(VENV)/bin/uv requirements/dev.txt pyproject.toml
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(INSTALL_SELF)
	@touch $@
	@touch $(VENV)/.demo
