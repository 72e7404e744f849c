# landpatch: land-cover training sets for Europe. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV = $(or $(shell command -v uv),$(or $(LANDPATCH_STATE_DIR),.state)/uv/bin/uv)

# An environment does not survive that its folder is moved.
ifneq ($(filter-out $(CURDIR),$(shell cat $(READY) 2>/dev/null)),)
$(READY): FORCE
endif
.PHONY: FORCE
FORCE:

# The options of `make region`; only those that are set are passed on.
OPTIONS = $(if $(YEAR),--year $(YEAR)) $(if $(LABEL_YEAR),--label-year $(LABEL_YEAR)) \
	$(if $(MAX_CLOUD),--max-cloud $(MAX_CLOUD)) $(if $(START),--start $(START)) \
	$(if $(END),--end $(END)) $(if $(COVER),--cover $(COVER)) $(if $(COMPOSITE),--composite $(COMPOSITE)) $(if $(JSON),--json)

# Where images and labels come from, for the stack on this machine and whatever asks for it.
ifneq ($(IMAGE_SOURCE),)
export LANDPATCH_IMAGE_SOURCE := $(IMAGE_SOURCE)
endif
ifneq ($(LABEL_SOURCE),)
export LANDPATCH_LABEL_SOURCE := $(LABEL_SOURCE)
endif
ifneq ($(and $(STACK),$(IMAGE_SOURCE)$(LABEL_SOURCE)),)
$(error IMAGE_SOURCE and LABEL_SOURCE are for this machine; with STACK=$(STACK) they belong into the settings of its workers)
endif

.PHONY: help
help: ## Show every target with one line of help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@bash scripts/setup.sh $(VENV)

.PHONY: setup
setup: $(READY) ## Make the Python environment in .venv
	@echo "$(VENV) is ready"

.PHONY: region-named
region-named:
	@if [ -z '$(NUTS)' ]; then echo "landpatch: which region? Say: make region NUTS=FR101" >&2; exit 2; fi

# A name may hold any sign: it reaches the shell through the environment.
export CITY

.PHONY: city-here
city-here:
	@if [ -n '$(STACK)' ]; then echo "landpatch: CITY is for this machine; \`landpatch locate\` says its NUTS" >&2; exit 2; fi

# Where `make region` builds: on this machine, with Docker Compose, or in a cluster.
REGION_HERE = $(BIN)/landpatch region
REGION_compose = bash scripts/compose.sh region
REGION_k8s = bash scripts/k8s-region.sh

.PHONY: region
region: $(if $(CITY),city-here,region-named) $(if $(STACK),,$(READY)) ## Build a region: NUTS=FR101 or CITY="Brussels, Belgium" [YEAR=2021 LABEL_YEAR= MAX_CLOUD=30 START=05-01 END=09-30 COVER=intersects COMPOSITE=best] [IMAGE_SOURCE=eodata LABEL_SOURCE=clcplus] [STACK=compose or k8s]
	@$(or $(REGION_$(or $(STACK),HERE)),$(error STACK is compose or k8s)) $(if $(NUTS),'$(NUTS)') $(if $(CITY),--city="$$CITY") $(OPTIONS)

.PHONY: regions
regions: $(if $(STACK),,$(READY)) ## Build many regions: FILE=regions.txt (one a line), or NUTS="FR101 LU000", or NUTS=all; the options of region, and [AT_ONCE=20]
	@if [ -z '$(FILE)$(NUTS)' ]; then echo "landpatch: which regions? Say: make regions FILE=regions.txt" >&2; exit 2; fi
	@$(or $(REGION_$(or $(STACK),HERE)),$(error STACK is compose or k8s)) \
		$(if $(STACK),$(NUTS) $(if $(FILE),$(shell sed 's/#.*//' '$(FILE)')),$(NUTS) $(if $(FILE),--file '$(FILE)')) \
		$(OPTIONS) $(if $(AT_ONCE),--at-once $(AT_ONCE))

.PHONY: plan
plan: region-named $(READY) ## Say what regions would take, before anything runs: NUTS=FR101 or NUTS="FR101 LU000" or NUTS=all
	@$(BIN)/landpatch plan $(NUTS) $(OPTIONS)

.PHONY: serve
serve: $(READY) ## Serve a live page of what the workers do: [NUTS="FR101 LU000" YEAR=2021 PORT=8484]
	@$(BIN)/landpatch serve $(NUTS) $(if $(YEAR),--year $(YEAR)) $(if $(PORT),--port $(PORT))

.PHONY: up
up: $(READY) ## Start the embedded stack: Redis, object store, workers, Flower
	@$(BIN)/python -m services.stack up

.PHONY: down
down: ## Stop the embedded stack; nothing is left running
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m services.stack down; fi

.PHONY: flower
flower: $(READY) ## Start the embedded stack, and say where Flower watches it and how to get in
	@$(BIN)/python -m services.stack flower

.PHONY: status
status: $(READY) ## Show the embedded stack and the regions
	@$(BIN)/python -m services.stack status
	@$(BIN)/landpatch status || true

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' shared/landpatch/__init__.py)

.PHONY: images
images: ## Build the images landpatch-worker and landpatch-stack
	@for target in worker stack; do docker build --target $$target --tag landpatch-$$target:$(VERSION) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
		--build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) .; done

.PHONY: compose-up
compose-up: ## Start the services with Docker Compose; the sandbox where no credentials are set
	@bash scripts/compose.sh up

.PHONY: compose-down
compose-down: ## Stop what Docker Compose runs; volumes are kept
	@bash scripts/compose.sh down

.PHONY: test
test: $(READY) ## Run the whole test suite
	@$(BIN)/pytest --numprocesses 3 --dist loadscope

# In no lock: resolved there it would bring some GB of CUDA to every machine.
PYTORCH = torch==2.13.0

.PHONY: torch
torch: $(READY) ## Add PyTorch to .venv, for the tests of reading with it; else they are skipped
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(PYTORCH)'

.PHONY: test-unit
test-unit: $(READY) ## Run the fast tests: no processes, no network
	@$(BIN)/pytest tests/unit

.PHONY: chaos
chaos: $(READY) ## Build regions while everything is killed, cut and flooded; about 50 minutes: [SEED=1]
	@LANDPATCH_CHAOS_SEED='$(SEED)' $(BIN)/pytest tests/chaos -m stack -s

.PHONY: docs
docs: $(READY) ## Write docs/commands.md, and the reference of the Python interface as HTML to .state/docs
	@$(BIN)/python scripts/reference.py $(or $(LANDPATCH_STATE_DIR),.state)/docs
	@echo "open $(or $(LANDPATCH_STATE_DIR),.state)/docs/landpatch.html"

.PHONY: fuzz
fuzz: $(READY) ## Break what comes from outside in ever new ways, for longer than the tests do: [EXAMPLES=5000]
	@LANDPATCH_FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest tests/fuzz --timeout=0

.PHONY: bench
bench: $(READY) ## Run the benchmarks, as a table and as JSON: [BENCH="sparse encode"]
	@$(BIN)/python -m benchmarks $(BENCH)

.PHONY: lint
lint: $(READY) ## Check style and types, and look dependencies up as `make audit` does
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python scripts/audit.py

.PHONY: audit
audit: $(READY) ## Look every pinned package up in a database of vulnerabilities: [AUDIT=required]
	@AUDIT=$(AUDIT) $(BIN)/python scripts/audit.py

LOCK = $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate \
	--quiet --custom-compile-command "make lock"

.PHONY: lock
lock: $(READY) ## Pin every dependency with hashes: requirements.lock, and of it what the images need
	@$(LOCK) --extra maps --extra stac --extra traces --extra xarray --group stack --group dev -o requirements.lock
	@$(LOCK) --extra traces --group stack --constraint requirements.lock -o requirements.stack.lock
	@$(LOCK) --extra traces --constraint requirements.lock -o requirements.worker.lock

.PHONY: clean
clean: down ## Stop the stack; remove the environment and the caches, but no results
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
