# make demo: see it work, in three minutes. make demo-all: all tasks and methods, in ten.
# make test: the test suite. make slow: the tests that take minutes. make lint: its checks.
# make bench: how fast it is. make audit: scores over many trained networks (docs/audit.md).
# Each makes .venv first.
PYTHON ?= python3

.PHONY: demo demo-all test slow lint bench audit
demo demo-all: .venv/installed
	./MAIN_run_experiments.sh $@

test: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m "not slow" -n auto --dist loadfile

slow: .venv/cluster
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m slow -n auto --dist loadfile

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.venv/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	touch $@

.venv/cluster: .venv/installed requirements-cluster.txt
	.venv/bin/python -m pip install --quiet -r requirements-cluster.txt
	touch $@

# Every stage against the plain way, in 40 minutes: make bench, or make bench DIR=folder
# with train/<class>/ and test/<class>/.
bench: .venv/installed
	.venv/bin/python -m benchmarks.speed $(DIR)
	.venv/bin/python -m benchmarks.sweeps --runs 50
	.venv/bin/python -m benchmarks.busy
	.venv/bin/python -m benchmarks.recipes

# On digits, two cores: about an hour. Stopped at any moment, it goes on.
audit: .venv/installed
	bash experiments/audit.sh digits
