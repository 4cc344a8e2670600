# `make demo` and `make test` each work as the first command on a machine with Python 3.11 or
# newer, pip and make: they create .venv, install into it, and do the job.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# --without-pip: Debian's Python has no ensurepip; its pip installs into the venv from outside
INSTALL := $(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install --quiet -c constraints.txt

.PHONY: help demo test check jupyter docs bench mutants reliability format clean

help:
	@echo "make demo    the order desk: refunds and an e-mail that wait for a person"
	@echo "make test    every check and every test"
	@echo "make check   ruff, mypy, import-linter"
	@echo "make jupyter   JupyterLab, for the test that drives it in a browser"
	@echo "make docs    the API reference, from the docstrings"
	@echo "make bench   the benchmarks"
	@echo "make mutants   faults sown into the guards: which of them does no test notice"
	@echo "make reliability   kills, freezes, restarts: plain LangGraph beside this, in one table"
	@echo "make format  let ruff format the code"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the demo needs (once, about a minute)"
	$(INSTALL) -e '.[embedded,demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the tests need (once, about two minutes)"
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.demo

# in a place of its own: beside it, whatever checks a schema would start two seconds later
$(VENV)/.jupyter: constraints.txt | $(BIN)/python
	$(PYTHON) -m venv --without-pip $(VENV)/jupyter
	$(PYTHON) -m pip --disable-pip-version-check --python $(VENV)/jupyter/bin/python \
	    install --quiet -c constraints.txt jupyterlab ipywidgets
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/python -m demo

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

jupyter: $(VENV)/.jupyter

docs: $(VENV)/.dev
	$(BIN)/python docs/reference

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

reliability: $(VENV)/.dev
	$(BIN)/python -m reliability

mutants: $(VENV)/.dev
	$(BIN)/mutmut run
	$(BIN)/mutmut results

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants
