# Everything from a fresh clone with Python >= 3.11, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STEP = @printf '\n== %s\n' "$(1)"; start=$$(date +%s); $(2) && printf '   %s: %s s\n' "$(1)" "$$(($$(date +%s) - start))"

.DEFAULT_GOAL := help
.PHONY: help demo test check format formatted lint types contracts collected bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[model,fast,postgres]' --group dev
	@touch $@

demo: $(STAMP) ## a throwaway gateway wakes its agents before your eyes (under 40 s)
	@$(BIN)/python -m engine demo

# Many tests wait for a process they started: one worker more than there are cores, and who is
# done takes over from who is not.
WORKERS := $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1 )))

test: $(STAMP) ## all tests
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

format: $(STAMP) ## rewrite the sources in house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: $(STAMP) ## format, lint, types, contracts, then all tests
	@$(MAKE) --no-print-directory --jobs=2 types contracts lint formatted collected
	$(call STEP,tests,$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal)

# Two at a time, and silent unless something is wrong: what one says is not mixed with another.
QUIET = @start=$$(date +%s); told=$$($(1) 2>&1) || { printf '%s\n' "$$told"; printf '   %s failed\n' "$@"; exit 1; }; printf '   %s: %s s\n' "$@" "$$(($$(date +%s) - start))"

formatted: $(STAMP)
	$(call QUIET,$(BIN)/ruff format --check --quiet .)

lint: $(STAMP)
	$(call QUIET,$(BIN)/ruff check --quiet .)

types: $(STAMP)
	$(call QUIET,$(BIN)/mypy --no-error-summary)

contracts: $(STAMP)
	$(call QUIET,$(BIN)/lint-imports --no-cache)

# pytest rewrites every test file it reads: once here, while the types are checked, instead of
# once in each of its workers at the same moment.
collected: $(STAMP)
	$(call QUIET,$(BIN)/python -m pytest -qq --collect-only)

bench: $(STAMP) ## speed against peers in the same run; writes tests/bench/results/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@$(BIN)/python -m tests.bench

clean: ## forget the virtual environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
