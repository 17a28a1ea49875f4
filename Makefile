# `make` alone lists the targets. All of them work in a fresh clone: the first one makes .venv.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.developing
HALF := $(VENV)/.installing
LOG := $(VENV)/install.log
DOCS := .venv-docs
DOCS_STAMP := $(DOCS)/.installed
DEPLOY := .venv-deploy
DEPLOY_STAMP := $(DEPLOY)/.installed
DASHBOARDS := .venv-dashboards
DASHBOARDS_STAMP := $(DASHBOARDS)/.installed
RELEASE := .venv-release
RELEASE_STAMP := $(RELEASE)/.installed
BENCH := .venv-bench
BENCH_STAMP := $(BENCH)/.installed
# One that is named on the command line, else the first that is new enough.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
UV ?= uv
# Python 3.12 and newer count lines nearly for nothing (sys.monitoring).
COVERED = $(shell test -n "$(COVERAGE)" || $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' && echo --cov --cov-report=)
# Of `make faults`: SEEDS="1 2 3" has three storms; none is the one of the day.
SEEDS ?=
# Of `make bench`: BEFORE=COMMIT has sesacctl as of that commit beside it.
BEFORE ?=
PAIRED = $(if $(BEFORE),--before $(BEFORE))
# Of `make growth`: some of processes, partitions, backlog, table, audit and refresh; nothing is all.
WHAT ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check docs docs-serve deploy-check dashboards containers faults soak compat planted bench growth pictures \
	release release-check lock docs-lock deploy-lock dashboards-lock release-lock bench-lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Run the whole loop on local servers and end with the audit
	@$(BIN)/sesacctl demo

test: check ## Check the code and test it on real PostgreSQL, Valkey and Kafka servers
	@$(BIN)/pytest -n 5 --dist loadfile --no-loadscope-reorder $(COVERED)
	@test -z "$(COVERED)" || echo "coverage by the tests' own processes (commands run in others): $$($(BIN)/coverage report --format=total) %"
	@test -n "$(COVERED)" || echo "coverage: not measured, as it costs a minute before Python 3.12; make test COVERAGE=1 does"

check: $(DEV_STAMP) ## Lint, types and layers; needs no server
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(DOCS_STAMP) ## Build the documentation into site/; a broken link or an unreadable docstring fails
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

docs-serve: $(DOCS_STAMP) ## Show the documentation on 127.0.0.1:8000, built again after each change
	@$(DOCS)/bin/mkdocs serve

deploy-check: $(DEPLOY_STAMP) $(DEV_STAMP) ## Hold deploy/k8s against Kubernetes' schemas, the command line and the settings
	@$(BIN)/python -m tests.deploy $(DEPLOY)/bin

dashboards: $(DASHBOARDS_STAMP) $(DEV_STAMP) ## Write deploy/grafana/dashboards from their Python, after a look at its types
	@$(BIN)/mypy --python-executable $(DASHBOARDS)/bin/python deploy/grafana/dashboards.py
	@$(DASHBOARDS)/bin/python deploy/grafana/dashboards.py

containers: $(DEV_STAMP) ## Run deploy/docker-compose.yml in a Docker Engine, with faults; IMAGES=official pulls its images
	@nice $(BIN)/python -m tests.containers $(if $(filter official,$(IMAGES)),--official)

faults: $(DEV_STAMP) ## Let a storm of faults loose on the loop for ten minutes, and lose data that audits have to miss
	@$(BIN)/python -m tests.faults $(SEEDS:%=--seed %) --minutes 10 --losses --results tests/faults/RESULTS.md
	@$(BIN)/python -m tests.faults $(SEEDS:%=--seed %) --minutes 5 --hosts --only host --results tests/faults/HOSTS.md
	@$(BIN)/python -m tests.faults --minutes 2 --without-primary-key
	@$(BIN)/pytest tests/faults
	@$(BIN)/python -m tests.hostile

soak: $(DEV_STAMP) ## The same storm for an hour
	@$(BIN)/python -m tests.faults --minutes 60 --results tests/faults/SOAK.md

compat: $(DEV_STAMP) ## Run the loop on other versions of Kafka, PostgreSQL and Redis; takes many minutes
	@$(BIN)/python -m tests.compat

planted: $(DEV_STAMP) ## Plant known bugs one at a time, and see that tests notice each
	@$(BIN)/python -m tests.planted

bench: $(DEV_STAMP) $(BENCH_STAMP) ## Measure against peers, older shapes and growth, into benchmarks/RESULTS.md and docs/charts; forty minutes
	@missed=0; for name in "consume --write $(PAIRED)" "latency --rounds 3 --seconds 3 --write $(PAIRED)" \
		"consume_mix --orders 60000 --rounds 2 --write" "results produce --rounds 5" "results startup 15" \
		"results seed --rounds 3" "results cache --rounds 300" "results install 1" "growth --rounds 1 --minutes 0.5 --write" "profiling --write"; do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name || missed=1; done; exit $$missed

growth: $(DEV_STAMP) ## Measure how cost grows as far as in ten minutes each, and draw docs/charts; WHAT="table audit" is a part of it
	@$(BIN)/python -m benchmarks.growth --minutes 10 --write $(WHAT)

pictures: $(DEV_STAMP) ## Take the README's pictures again, from a loop that turns
	@$(BIN)/python -m benchmarks.pictures

release: $(RELEASE_STAMP) $(DEV_STAMP) ## Build what is committed into dist/, the same bytes each time: packages, bill of materials, licences, sums
	@$(BIN)/python -m tests.release.build $(RELEASE)/bin dist

release-check: release ## Install that wheel on each Python that is here, by pip, pipx and uv, and try it without extras
	@$(BIN)/python -m tests.release dist

COMPILE = $(UV) pip compile pyproject.toml --universal --python-version 3.11 --extra local --extra metrics --extra web \
	--generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

lock: ## Resolve requirements.lock again, with uv, and requirements-demo.lock, its part that runs
	@$(COMPILE) --group dev --output-file requirements.lock
	@$(COMPILE) --constraint requirements.lock --output-file requirements-demo.lock

docs-lock: ## Resolve docs/requirements.lock again, with uv
	@$(UV) pip compile docs/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --quiet --output-file docs/requirements.lock

deploy-lock: ## Resolve tests/deploy/requirements.lock again, with uv
	@$(UV) pip compile tests/deploy/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --quiet --output-file tests/deploy/requirements.lock

dashboards-lock: ## Resolve deploy/grafana/requirements.lock again, with uv
	@$(UV) pip compile deploy/grafana/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --quiet --output-file deploy/grafana/requirements.lock

release-lock: ## Resolve tests/release/requirements.lock again, with uv
	@$(UV) pip compile tests/release/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --quiet --output-file tests/release/requirements.lock

bench-lock: ## Resolve benchmarks/requirements.lock again, with uv
	@$(UV) pip compile benchmarks/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --quiet --output-file benchmarks/requirements.lock

clean: ## Delete .venv and all caches; the local stack's data stays
	@test ! -e .sesac/stack.env || { echo "The local stack runs: $(BIN)/sesacctl down" >&2; exit 1; }
	@rm -rf $(VENV) $(DOCS) $(DEPLOY) $(DASHBOARDS) $(RELEASE) $(BENCH) site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Of pip's output: a line for every 20 packages, and one before the longest silence; of uv's: what is large.
SHOW_PROGRESS = '/^(Collecting|Requirement already)/ { if (++n % 20 == 0) print "  " n " of " all " packages are here"; fflush() } \
	/^Installing collected/ { if (!(unpacking++)) print "  unpacking them"; fflush() } \
	/^Downloading .*iB\)/ { print "  " $$0; fflush() }'
# uv asks the index that pip is told to ask.
UV_PIP = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX-$$PIP_INDEX_URL}" $(UV) pip install --python $(BIN)/python --no-deps --require-hashes
PIP = $(BIN)/python -m pip install --disable-pip-version-check --no-input --retries 2 --no-compile --log $(LOG) \
	--progress-bar off --require-hashes

# $(1): a lock; $(2): what is in it. HALF has text when all is there; pip does what uv cannot, for it has settings of its own.
define INSTALL
	touch $(HALF); \
	all=$$(grep -c '^[a-z].*==' $(1)); \
	echo "Installing $(2) into $(VENV): up to $$all packages, a minute or a few ..." >&2; \
	if command -v "$(UV)" >/dev/null 2>&1; then \
		{ $(UV_PIP) -r $(1) && echo whole >$(HALF); } 2>&1 | tee -a $(LOG) | awk $(SHOW_PROGRESS) >&2; \
		test -s $(HALF) || echo "  uv could not install them (details: $(LOG)): trying pip" >&2; \
	fi; \
	if ! test -s $(HALF); then \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >>$(LOG) 2>&1; \
		{ $(PIP) -r $(1) && echo whole >$(HALF); } 2>&1 | awk -v all=$$all $(SHOW_PROGRESS) >&2; \
	fi; \
	if ! test -s $(HALF); then \
		rm -f $(HALF); \
		echo "The packages could not be installed: check the network (details: $(LOG)), then run make again" >&2; \
		exit 1; \
	fi
endef

# The stamp comes last, so that the next run goes on where one failed; where one was killed, it begins anew.
$(STAMP): requirements-demo.lock pyproject.toml
	@rm -f $@; python=; \
	for candidate in $(PYTHON); do \
		version=$$($$candidate -c 'import sys; print("%d%02d" % sys.version_info[:2])' 2>/dev/null); \
		if test "$$version" -ge 311 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if test -z "$$python"; then \
		echo "sesacctl needs Python 3.11 or newer (looked for: $(PYTHON)): install it, or make PYTHON=/path/to/it" >&2; \
		exit 1; \
	fi; \
	if test -e $(HALF) || ! $(BIN)/python -c pass >/dev/null 2>&1; then \
		rm -rf $(VENV); \
		if ! { test -n "$(UV)" && $(UV) venv --python "$$(command -v $$python)" $(VENV) >/dev/null 2>&1; } && ! $$python -m venv $(VENV) >/dev/null 2>&1; then \
			rm -rf $(VENV); \
			echo "$$python cannot make a virtual environment: install its venv module (python3-venv on Debian)" >&2; \
			exit 1; \
		fi; \
	fi; \
	$(call INSTALL,requirements-demo.lock,sesacctl and its servers); \
	$(BIN)/python tests/release/editable.py
	@rm -f $(HALF); touch $@

# On top of that; killed, it takes the stamp of both with it.
$(DEV_STAMP): requirements.lock $(STAMP)
	@rm -f $(STAMP); $(call INSTALL,requirements.lock,what tests and checks it)
	@rm -f $(HALF); touch $(STAMP) $@

# Of their own: what builds the documentation must not decide about versions of what runs.
define ENVIRONMENT
	@rm -rf $(1); $(BIN)/python -m venv $(1)
	@echo "Installing what $(2) into $(1) ..." >&2
	@$(1)/bin/python -m pip install --disable-pip-version-check --no-input --retries 2 --quiet --require-hashes -r $<
	@touch $@
endef

$(DOCS_STAMP): docs/requirements.lock | $(STAMP)
	$(call ENVIRONMENT,$(DOCS),builds the documentation)

$(DEPLOY_STAMP): tests/deploy/requirements.lock | $(STAMP)
	$(call ENVIRONMENT,$(DEPLOY),checks the Kubernetes objects)

$(DASHBOARDS_STAMP): deploy/grafana/requirements.lock | $(STAMP)
	$(call ENVIRONMENT,$(DASHBOARDS),writes the dashboards)

$(RELEASE_STAMP): tests/release/requirements.lock | $(STAMP)
	$(call ENVIRONMENT,$(RELEASE),writes the bill of materials)

$(BENCH_STAMP): benchmarks/requirements.lock | $(STAMP)
	$(call ENVIRONMENT,$(BENCH),is measured against)
