# make demo: see it work. make test: the whole suite. Both make .venv and install what they need into it.
PYTHON ?= python3

.PHONY: demo test lint
demo: .venv/installed
	./MAIN_run_experiments.sh demo

test: .venv/installed
	.venv/bin/python -m pytest

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

.venv/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	touch $@
