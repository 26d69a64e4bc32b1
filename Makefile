# What a developer does here. Each target sets up what it needs of .venv first (quick, unless pyproject.toml changed).
# The names may be overridden: make demo PORT=8001, make test ARGS='-k redis', make PYTHON=python3.13 .venv

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-for-demo
# Python compiles what it imports, when it first does; pip would compile all that comes with it, most of it for nobody.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
PORT ?= 8000
ARGS ?=
# pyenv's versions are not on PATH, unless they are chosen.
PYENV_PYTHONS := $(wildcard $(HOME)/.pyenv/versions/3.1[1-9]*/bin/python)

.PHONY: help demo test trust lint matrix newest ecosystem bench docs screenshots dist clean $(VENV)

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(DEMO_STAMP) ## Run the example project on http://127.0.0.1:8000 (PORT=..., BIND=yes)
	@$(if $(BIND),$(PIP) $(call needs,bind))
	@$(BIN)/python -m example_project --port $(PORT) $(if $(BIND),--bind)

test: $(STAMP) ## Run all tests; servers they need are started privately (ARGS=...)
	@.ci/packages
	@.ci/tests $(BIN)/python $(ARGS)

trust: $(STAMP) ## Run all tests, and those that repeat races and random input at full length (ARGS=...)
	@.ci/packages
	@SRVSESSION_TESTS_WHOLE=1 .ci/tests $(BIN)/python $(ARGS)

lint: $(STAMP) ## Check style, types, import layers and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m django makemigrations --check --dry-run --settings tests.settings

matrix: $(STAMP) ## Run the tests on every supported Python and Django that is here
	@.ci/packages
	$(BIN)/tox run $(if $(PYENV_PYTHONS),--discover $(PYENV_PYTHONS)) $(ARGS)

newest: $(STAMP) ## Run the tests of fences with the newest libraries, pre-releases too (ARGS=tests: run all)
	@.ci/packages
	$(BIN)/tox run $(if $(PYENV_PYTHONS),--discover $(PYENV_PYTHONS)) -e newest -- $(or $(ARGS),-m fence)

ecosystem: $(STAMP) ## Run other packages' own tests on our sessions, and write docs/ecosystem.rst (ARGS=django-allauth)
	@.ci/packages ecosystem
	$(BIN)/python -m tests.ecosystem $(ARGS)

bench: $(STAMP) ## Measure against Django's engines, and write docs/why/performance.rst (ARGS=...: measure only that)
	@.ci/packages
	$(BIN)/python -m benchmarks $(or $(ARGS),--pin --quick --runs 5 --write)
	$(if $(ARGS),,$(BIN)/python -m benchmarks.tricks --pin --write)
	$(if $(ARGS),,$(BIN)/python -m benchmarks.room --write)

docs: $(STAMP) ## Build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

screenshots: $(STAMP) ## Take the pictures of the documentation anew (Chromium, npm, and a font with Hangul)
	$(BIN)/python -m tests.browser.screenshots
	$(BIN)/python -m tests.browser.admin_screenshots

dist: $(STAMP) ## Build and check what is published, into dist/ (TAG=v0.2.0: fails unless that is the version)
	@.ci/dist $(BIN)/python

clean: ## Remove everything that can be made again, .venv included
	rm -rf $(VENV) .tox build dist docs/_build .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): $(STAMP)

# A python counts when it runs (version managers install names that do not) and is 3.11 or newer.
define MAKE_VENV
@python=; for name in $(PYTHON) $(if $(PYTHON),,python3 python3.14 python3.13 python3.12 python3.11); do \
  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo "$(or $(PYTHON),python3): no Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
fi; \
if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
  echo "$$python has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
fi; \
if [ -x $(BIN)/python ] && ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
  rm -rf $(VENV); \
fi; \
if [ ! -x $(BIN)/python ] || [ -n "$(PYTHON)" ]; then $$python -m venv $(VENV) || exit 1; fi; \
echo "Installing into $(VENV) ..."
endef

$(STAMP): pyproject.toml
	$(MAKE_VENV)
	@$(PIP) --editable '.[dev]'
	@touch $(DEMO_STAMP) $@

# The demo needs Django and clients of Redis and MongoDB. It runs from here: to install this package, too, would take as long again.
NEEDS := import sys, tomllib; its = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
  print(*its["dependencies"], *(line for extra in sys.argv[1:] for line in its["optional-dependencies"][extra]))
needs = $$($(BIN)/python -c '$(NEEDS)' $(1))

$(DEMO_STAMP): pyproject.toml
	$(MAKE_VENV)
	@$(PIP) $(call needs,redis mongodb)
	@touch $@
