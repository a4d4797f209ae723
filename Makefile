# Everything from a bare Python >= 3.10: the environment in .venv, the demonstration, the tests.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint types tests bench clean

demo: .venv/ready
	$(BIN)/harness run demo.toml
	@echo
	@echo "The most accurate model is not the one that gives most per second or per byte."
	@echo "Try next:"
	@echo "  $(BIN)/harness score demo.sqlite --resource time --resource memory   both resources in one score"
	@echo "  $(BIN)/harness export demo.sqlite --table readings -o readings.csv   every reading, to check by hand"
	@echo "  $(BIN)/harness run demo.toml --seed 1 --seed 2                       a second seed; the first is not run again"
	@echo "  $(BIN)/harness list models                                           what else there is"

test: .venv/ready lint types tests

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

tests: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What this project is measured against, beside the last time on this machine.
bench: .venv/ready
	$(BIN)/python -m pytest benchmarks --benchmark-columns=min,median,iqr,rounds --durations=0 --durations-min=99 \
		--harness-meter time --harness-meter memory --harness-store benchmarks.sqlite --harness-compare

.venv/ready: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
