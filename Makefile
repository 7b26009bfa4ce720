# Each target is a thin call of the coldstart command line; `coldstart --help` has the rest.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: run up down test mutants fuzz lint bench docs install

run: install
	coldstart run

up: install
	coldstart up

down: install
	coldstart down

test: install
	pytest -n auto --maxprocesses 4 --dist loadgroup

mutants: install
	python -m tests.mutants

fuzz: install
	python -m tests.fuzz

lint: install
	ruff check . && ruff format --check . && mypy && lint-imports

bench: install
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	python benchmarks/meta_step.py && python benchmarks/adapt.py

docs: install
	python benchmarks/documents.py

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { \
	  echo "coldstart needs Python 3.11 or 3.12, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment;" \
	    "on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[dev]' || { \
	  echo "pip could not install the packages of constraints.txt; is there a network," \
	    "and does pip find its index?" >&2; exit 1; }
	@touch $@
