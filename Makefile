# One environment in .venv, built in two steps: what the package needs, then what its tests need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
NUTPIE := .venv-nutpie
FORESTS := .venv-forests
CAUSALLIB := benchmarks/files/causallib-0.10.0-py3-none-any.whl
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
CONSTRAINTS := .ci/constraints-$(VERSION).txt
# PySpark is 450 MB, and of no use without a Java to start.
SPARK = $(shell "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version >/dev/null 2>&1 && echo --group spark)
# Modules are compiled when they are first imported (--no-compile below): of most packages few ever are.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test check pytest setup bench bench-pooling bench-forests bench-targeting bench-monitoring study-pooling calibrate pins clean

help:
	@echo "make demo       install what the package needs and decide a real e-mail test (out/demo/report.html)"
	@echo "make test       install the test tools, run every check and test"
	@echo "make setup      prepare both environments' packages; does nothing the second time"
	@echo "make check      lint, types, layers and dependencies; make pytest: the tests alone"
	@echo "make calibrate  the full calibration of every model, into models/*/reference.json, and of the monitor's promises"
	@echo "make bench      the tables of benchmarks/README.md, rivals included"
	@echo "make bench-pooling  samplers of the pooled model against PyMC's and nutpie's; study-pooling: coverage"
	@echo "make bench-forests  causal forests against stochtree, bartz, causalml and econml: hours; stopped, it goes on from there"
	@echo "make bench-targeting  policy trees against econml's, budgets, and a million units (a file of 12 GB, kept)"
	@echo "make bench-monitoring  error rate, power and duration of the monitor beside gbstats' sequential test; its times"
	@echo "make pins       resolve the constraints files again"

$(CONSTRAINTS):
	@echo "python3 is $(VERSION); bayesuplift runs on Python 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.11 ..." >&2
	@exit 2

$(VENV)/.runtime: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --no-compile --constraint $(CONSTRAINTS) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime
	$(PIP) --no-compile --constraint $(CONSTRAINTS) --editable '.[pymc,shap]' --group test --group check $(SPARK)
	@touch $@

setup: $(VENV)/.test

demo: $(VENV)/.runtime
	$(BIN)/bayesuplift demo

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH=$(BIN):$$PATH $(BIN)/lint-imports
	$(BIN)/deptry .

# Side by side: types are checked by one processor, and tests of the command line wait for programs that they start. Where
# a check fails the tests still run to their end: `make check` alone says so sooner.
test: $(VENV)/.test
	$(MAKE) --no-print-directory -j 2 check pytest

pytest: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=10

calibrate: $(VENV)/.test
	$(BIN)/python -m tests.calibration.full
	$(BIN)/python -m tests.calibration.forests
	$(BIN)/python -m tests.calibration.predictive_units
	$(BIN)/python -m tests.calibration.monitor
	$(BIN)/python -m tests.calibration.ledger_faults

$(BENCH)/.ready: benchmarks/requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	@touch $@

bench: $(VENV)/.test $(BENCH)/.ready
	$(BIN)/python -m benchmarks.run

$(NUTPIE)/.ready: benchmarks/requirements-nutpie.txt
	test -x $(NUTPIE)/bin/python || $(PYTHON) -m venv $(NUTPIE)
	$(NUTPIE)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

bench-pooling: $(VENV)/.test $(NUTPIE)/.ready
	$(BIN)/python -m benchmarks.partial_pooling

$(FORESTS)/.ready: benchmarks/requirements-forests.txt
	test -x $(FORESTS)/bin/python || $(PYTHON) -m venv $(FORESTS)
	$(FORESTS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Ten data sets of a public challenge are read from this wheel, which is not installed: it asks for pandas below 3.
$(CAUSALLIB):
	$(PIP:install=download) --no-deps --dest $(@D) causallib==0.10.0

bench-forests: $(VENV)/.test $(FORESTS)/.ready $(CAUSALLIB)
	$(BIN)/python -m benchmarks.causal_forest --final --write

bench-targeting: $(VENV)/.test $(FORESTS)/.ready
	$(BIN)/python -m benchmarks.targeting --write

bench-monitoring: $(VENV)/.test $(BENCH)/.ready
	nice -n 10 $(BIN)/python -m benchmarks.monitoring --write

study-pooling: $(VENV)/.test
	nice -n 10 $(BIN)/python -m benchmarks.pooling_study --write

pins: $(VENV)/.runtime
	$(PIP) --group pins
	for version in 3.11 3.12 3.13; do \
		$(BIN)/uv pip compile pyproject.toml --all-extras --group test --group spark --group check --group pins \
			--python-version $$version --no-header --no-annotate --no-emit-index-url --upgrade \
			--quiet --output-file .ci/constraints-$$version.txt; \
	done

clean:
	rm -rf $(VENV) $(BENCH) $(NUTPIE) $(FORESTS) out dist
