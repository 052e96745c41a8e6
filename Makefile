# make demo: see it work. make test: the test suite. make slow: what takes minutes more. Each makes .venv and installs into it.
PYTHON ?= python3

.PHONY: demo test slow lint
demo: .venv/installed
	./MAIN_run_experiments.sh demo

test: .venv/installed
	.venv/bin/python -m pytest -m "not slow"

slow: .venv/cluster
	.venv/bin/python -m pytest -m slow

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

.venv/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	touch $@

.venv/cluster: .venv/installed requirements-cluster.txt
	.venv/bin/python -m pip install --quiet -r requirements-cluster.txt
	touch $@
