# Everything a developer runs. Each target sets up what it needs in .venv first; nothing has to be installed by hand
# but Python 3.11 or newer and make. With PYTHON=python3.13 (or 3.13, or a path) that Python is taken, in .venvs/3.13.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo demo-auth test test-peers test-pythons check format conformance soak interop bench bench-quick docs requirements mutations page lock build clean setup-dev setup-demo

# Only what is said on the command line counts: other programs have a variable of this name in the environment.
ifeq ($(origin PYTHON),command line)
VERSION := $(shell python=$$(tools/find_python.sh '$(PYTHON)') && $$python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
$(if $(VERSION),,$(error PYTHON=$(PYTHON) can't be taken))
VENV := .venvs/$(VERSION)
else
VENV := .venv
endif
BIN := $(VENV)/bin
PY := $(BIN)/python
# A whole run of the tests has to have sent and received messages of every revision.
ORACLE := $(if $(wildcard tests/oracle/plugin.py),--oracle-complete)
# Without what .ci/run runs in other stages, the house rules, the peers and the applications (make build runs their
# tests with the wheels): make test CHECKED=yes
CHECKED ?=
# How many tests run at once: two for each core of a small machine, for many of them wait.
WORKERS ?= 4
# More options for pytest: make test ARGS="-k session -x"
ARGS ?=
# The kind of make soak; all, if none.
KIND ?=

help: ## say what there is
	@printf 'Dovetail. Make targets:\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

demo: setup-demo ## run the examples: every kind of client, a task that survives a kill, a host, a server made of five
	@$(PY) examples/library/demo.py
	@$(PY) examples/report/demo.py
	@$(PY) examples/host/demo.py
	@node=$$($(PY) tools/npm_packages.py examples/town/package.json .cache/town) && \
	    $(PY) examples/town/demo.py "$$node" .cache/town

demo-auth: setup-dev ## a login from beginning to end, in a real browser without a window if one is there
	@$(PY) examples/protected/demo.py

test: setup-dev ## run all tests, with the schema oracle watching every message (ARGS= for a part of them)
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal --ignore=tests/interop $(if $(CHECKED),--ignore=tests/house $(if $(ARGS),,tests)) \
	    $(if $(ARGS),$(ARGS),$(ORACLE))
	@$(if $(ARGS)$(CHECKED),,$(PY) -m pytest -n 2 tests/interop)

test-peers: setup-dev ## the part of `make test` that talks to the implementations of constraints/peers.txt
	@$(PY) -m pytest -n 2 tests/interop

test-pythons: setup-dev ## run the tests on the other Pythons that are installed: the newest in full, those between in core
	@$(PY) tools/every_python.py $(ARGS)

check: setup-dev ## formatting, lint, types, import floors and house rules, side by side
	@$(PY) tools/check.py

format: setup-dev ## put the source into shape
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format .

conformance: setup-dev ## run the conformance suite against server, client and authorization server
	@$(PY) conformance/run.py $(ARGS)

soak: setup-dev ## hostile requests by the thousand against a server: memory, and a good caller's p99 (KIND= for one kind)
	@$(PY) -m tests.security.soak $(KIND) $(ARGS)

interop: setup-dev ## talk to the implementations of constraints/peers.txt, and to 36 servers nobody here wrote
	@$(PY) -m pytest -n 2 tests/interop $(wildcard apps/*/tests/page/test_page_foreign.py) --foreign $(ARGS)

bench: setup-dev ## measure everything next to the peers and the floor (half an hour, needs Linux)
	@$(PY) -m benchmarks $(ARGS)

bench-quick: setup-dev ## measure with fewer rounds and peers, in minutes
	@$(PY) -m benchmarks --quick $(ARGS)

docs: setup-dev ## build the site: the pages, a search, and a reference of every public name
	@$(PY) tools/docs.py $(ARGS)

requirements: setup-dev ## how many of the specification's MUST rows have a test, area by area
	@$(PY) tools/requirements_report.py

mutations: setup-dev ## break the lines that keep MUST rows, one by one, and see their tests fail
	@$(PY) tools/mutations.py $(ARGS)

page: setup-dev ## build the page of the Inspector, with a Node that nobody has to install; its weight against a budget
	@$(PY) tools/page.py $(ARGS)

build: setup-dev ## build the wheels of the library and of each application into dist/, and try them beside each other
	@$(PY) tools/build.py $(ARGS)

lock: setup-dev ## resolve the dependencies anew and write constraints/
	@$(PY) tools/lock.py

clean: ## remove the environments and whatever runs left behind
	@rm -rf .venv .venvs .cache build dist results htmlcov .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis \
	    .import_linter_cache
	@find src apps tests tools -type d -name __pycache__ -prune -exec rm -rf {} +

setup-dev setup-demo: setup-%:
	@python=$$(tools/find_python.sh $(if $(filter .venvs/%,$(VENV)),'$(PYTHON)')) && $$python tools/setup.py $* $(VENV)
