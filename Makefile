# Every task of the project. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
READY := $(VENV)/.ready
# The lock files name no download address: they come from whichever registry this machine is set up for.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: help run test test-stack test-proofs test-faults lint bench bench-live bench-backtest test-timescale lock clean
.DEFAULT_GOAL := help

help:  ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

run: $(READY)  ## Database, Dagster on :3000 and the API on :8000; Ctrl-C stops all of it
	@$(BIN)/btc-pipeline up

test: $(READY)  ## Every test but those of the whole stack and the long proofs, two at a time
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

test-stack: $(READY)  ## Real processes: the whole stack, commands, kills, a removed day, a hung collector (about 10 minutes)
	$(BIN)/python -m pytest -m stack $(ARGS)

test-proofs: $(READY)  ## Recounts in decimal, figures against other libraries, planted look-ahead, wires and faults at length
	$(BIN)/python -m pytest -n 2 --dist loadscope -m proof $(ARGS)

test-faults: $(READY)  ## Faults of the feed, 200 cases (FAULT_CASES, FAULT_SEED)
	FAULT_CASES=$${FAULT_CASES:-200} FAULT_SEED=$${FAULT_SEED:-1000} \
		$(BIN)/python -m pytest -m "not stack" btc_pipeline_tests/live/test_faults.py $(ARGS)

lint: $(READY)  ## Style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## The figures, side by side
	$(BIN)/python -m btc_pipeline_tests.bench $(ARGS)

bench-live: $(READY)  ## The figures of everything live, in real time
	$(BIN)/python -m btc_pipeline_tests.bench.live_main $(ARGS)

bench-backtest: $(READY)  ## The figures of backtests and sweeps, beside vectorbt and backtesting.py
	$(BIN)/python -m btc_pipeline_tests.bench.backtest_main $(ARGS)

test-timescale: $(READY)  ## Storage and pipeline tests against a real TimescaleDB (TEST_TIMESCALE_URL, or its own)
	PYTHON=$(BIN)/python scripts/timescale.sh $(ARGS)

lock: $(BIN)/uv  ## Pin anew what pyproject.toml asks for
	$(COMPILE) --upgrade pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@! grep -nE '(https?|file)://' requirements.lock requirements-dev.lock

clean:  ## Remove the environment and all caches; data stays
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "python3 -m venv does not work here; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@# The pip that Python 3.11 brings cannot read a lock file with extras.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip uv==$(UV_VERSION)

# uv does not read pip's configuration: where the registry is known to pip alone, pip installs the same, more slowly.
$(READY): pyproject.toml requirements-dev.lock | $(BIN)/uv
	@echo "Installing into $(VENV) (once)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.lock \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e . \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
