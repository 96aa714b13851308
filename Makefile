# Everything a developer or an operator runs from the source tree. `make` alone prints the list.
# Needs Python 3.11+ with pip, make and git; all else is installed into .uv/ and .venv/ from the hashed locks in
# requirements/. Nothing is written outside this folder, and a second `make setup` has nothing to do.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

UV_VERSION := 0.13.8
UV := .uv/bin/uv
BIN := .venv/bin
TEST_WORKERS ?= 2

# The first interpreter that is new enough; `make PYTHON=/path/to/python3 …` overrides.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$python >/dev/null 2>&1 && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$python && break; done)

# uv does not read pip's configuration. Whoever reaches a package index through a mirror or an own certificate has told
# pip so; tell uv the same.
define pip_settings_for_uv
	index="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}}}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	if [ -z "$$SSL_CERT_FILE" ] && [ -n "$$PIP_CERT" ]; then export SSL_CERT_FILE="$$PIP_CERT"; fi; \
	export UV_HTTP_TIMEOUT="$${UV_HTTP_TIMEOUT:-180}"
endef

# `uv pip sync` removes what the lock does not name, our own package too: it goes in last. Its build back end is part of
# uv itself, so --offline proves that nothing unlocked is fetched.
define install
	$(pip_settings_for_uv); \
	{ $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| $(UV) venv --quiet --clear --no-python-downloads --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv; } \
	&& $(UV) pip sync --quiet --python $(BIN)/python --require-hashes $(1) \
	&& $(UV) pip install --quiet --python $(BIN)/python --no-deps --offline --editable .
endef

SOURCES = $(wildcard idp migrations tests examples benchmarks)
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock'

# ── Install ───────────────────────────────────────────────────────────────────────────────────────────────────────────

# A folder set up for development stays so: going back would take the test tools away again.
.PHONY: setup
setup: $(if $(wildcard .venv/.installed-dev),.venv/.installed-dev,.venv/.installed-runtime)  ## install the provider: afterwards .venv/bin/idp is there

.PHONY: setup-dev
setup-dev: .venv/.installed-dev  ## install the provider and everything that tests and checks need

.uv/.installed: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed. Install it, or run: make PYTHON=/path/to/python3 …" >&2; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null || { echo "$(PYTHON) has no pip. Install it (on Debian and Ubuntu: apt-get install python3-pip)." >&2; exit 1; }
	@rm -rf .uv
	@PIP_ROOT_USER_ACTION=ignore $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target .uv -r requirements/uv.txt
	@touch $@

.venv/.installed-runtime: requirements/runtime.txt pyproject.toml .uv/.installed
	@$(call install,requirements/runtime.txt)
	@touch $@
	@echo "Installed. Try .venv/bin/idp --help, or make demo."

.venv/.installed-dev: requirements/dev.txt pyproject.toml .uv/.installed
	@$(call install,requirements/dev.txt)
	@touch $@ .venv/.installed-runtime
	@echo "Installed, with the tools for tests and checks."

# ── Run ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: demo
demo: setup  ## start provider, worker, two applications and a mail catcher; says what to try
	@exec $(BIN)/idp demo $(ARGS)

.PHONY: serve
serve: setup  ## prepare database and keys when missing, then start the provider and its worker
	@$(BIN)/idp init && exec $(BIN)/idp serve $(ARGS)

# ── Check ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: test
test: setup-dev  ## run all tests: SQLite, a real PostgreSQL, a real Chromium (ARGS="-k words" narrows)
	@$(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal $(ARGS)

.PHONY: test-no-browser
test-no-browser: setup-dev  ## run all tests but those that need Chromium
	@$(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal -m "not browser" $(ARGS)

.PHONY: bench
bench: setup-dev  ## measure what operations cost and write docs/benchmarks.md (ARGS="--quick" in a minute; needs PostgreSQL, cc)
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-growth
bench-growth: setup-dev  ## measure beside a million sessions and write docs/growth.md (ARGS="--quick" in a few minutes; needs PostgreSQL, cc)
	@$(BIN)/python -m benchmarks.growth $(ARGS)

.PHONY: bench-drain
bench-drain: setup-dev  ## measure how 10,000 ends reach fifty applications, one of them dead, and write docs/drain.md
	@$(BIN)/python -m benchmarks.drain $(ARGS)

.PHONY: crash
crash: setup-dev  ## kill, cut, stop and fill under load, ROUNDS=50 times, and see what was acknowledged (ARGS="--database sqlite")
	@$(BIN)/python -m tests.crash $(if $(ROUNDS),--rounds $(ROUNDS)) $(ARGS)

.PHONY: lint lint-style lint-types lint-borders lint-dependencies lint-containers
lint: lint-style lint-types lint-borders lint-dependencies lint-containers  ## style, types, the rooms' borders, dependencies, Dockerfile

lint-style: setup-dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

lint-types: setup-dev
	$(BIN)/mypy $(SOURCES)

lint-borders: setup-dev
	$(BIN)/lint-imports

lint-dependencies: setup-dev
	$(BIN)/deptry .

lint-containers: setup-dev
	$(BIN)/hadolint Dockerfile

.PHONY: format
format: setup-dev  ## let ruff repair style and formatting
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

.PHONY: audit
audit: setup-dev  ## look the locked packages up in the vulnerability database (needs the internet)
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements/dev.txt

# ── Prove ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

EXAMPLES ?= 100
STEPS ?= 50
MINUTES ?= 0
.PHONY: stateful
stateful: setup-dev  ## play EXAMPLES=100 random orders of STEPS=50 events against the model, and more for MINUTES=0
	@IDP_TEST_STATEFUL_EXAMPLES=$(EXAMPLES) IDP_TEST_STATEFUL_STEPS=$(STEPS) IDP_TEST_STATEFUL_MINUTES=$(MINUTES) \
	$(BIN)/pytest -n 2 -rP tests/stateful $(ARGS)

ROUNDS ?= 50
.PHONY: linearizability
linearizability: setup-dev  ## judge ROUNDS=50 times the histories of fifty threads on two nodes
	@IDP_TEST_LINEARIZABILITY_ROUNDS=$(ROUNDS) $(BIN)/pytest -n 2 tests/linearizability $(ARGS)

.venv-mutate/.installed: requirements/mutate.txt .uv/.installed
	@$(pip_settings_for_uv); \
	$(UV) venv --quiet --clear --no-python-downloads --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv-mutate \
	&& $(UV) pip sync --quiet --python .venv-mutate/bin/python --require-hashes requirements/mutate.txt
	@touch $@

.PHONY: mutate
mutate: .venv-mutate/.installed  ## break the rules in small ways, each of which a test must see (ONLY="idp.tokens.turns.*")
	@.venv-mutate/bin/python -m tests.mutation $(ONLY) $(if $(ONLY),,--floor 90) $(ARGS)

.PHONY: mutate-sample
mutate-sample: .venv-mutate/.installed  ## the same for the sharpest rules, in half a minute: what CI runs
	@.venv-mutate/bin/python -m tests.mutation --sharpest --jobs 2 --patience 5 --floor 95 --results build/mutation-sample.json

# ── Containers ────────────────────────────────────────────────────────────────────────────────────────────────────────

IMAGE ?= idp
IMAGE_TARGET ?= provider
PYTHON_IMAGE ?= docker.io/library/python:3.11-slim-bookworm
CONTAINER_ENGINE ?= $(shell for engine in docker podman buildah; do command -v $$engine >/dev/null 2>&1 && echo $$engine && break; done)

# What pip was told of a mirror or an own certificate goes along as secrets, which leave no trace in the image.
.PHONY: image
image:  ## build the container image (IMAGE=name CONTAINER_ENGINE=docker|podman|buildah PYTHON_IMAGE=base)
	@test -n "$(CONTAINER_ENGINE)" || { echo "docker, podman or buildah is needed to build an image." >&2; exit 1; }
	@index="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}}}"; \
	bundle="$${PIP_CERT:-$${SSL_CERT_FILE:-$$($(PYTHON) -m pip config get global.cert 2>/dev/null)}}"; \
	secrets="$$(mktemp -d)" && trap 'rm -rf "$$secrets"' EXIT && printf '%s' "$$index" >"$$secrets/package_index" \
	&& { if [ -n "$$bundle" ]; then cat "$$bundle"; fi; } >"$$secrets/ca_bundle" \
	&& BUILDAH_FORMAT=docker $(CONTAINER_ENGINE) build --tag $(IMAGE) --target $(IMAGE_TARGET) \
		--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) \
		--secret id=package_index,src="$$secrets/package_index" --secret id=ca_bundle,src="$$secrets/ca_bundle" .

.PHONY: image-test
image-test: setup-dev  ## build the image on Debian's packages alone, start it and compose.yaml (root, buildah, mmdebstrap)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh tests/containers/try-image

# Made once, and never overwritten: the database keeps the password that it was made with.
.env:
	@umask 077 && $(PYTHON) -c 'import secrets; print("IDP_SECRET=" + secrets.token_urlsafe(48)); print("POSTGRES_PASSWORD=" + secrets.token_urlsafe(24))' >$@
	@echo "Two random secrets are in .env now, for compose.yaml."

# ── Maintain ──────────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: lock
lock: .uv/.installed  ## write requirements/*.txt anew from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	@$(pip_settings_for_uv); \
	$(COMPILE) $(UPGRADE) pyproject.toml --all-extras --group dev --group postgres -o requirements/dev.txt \
	&& $(COMPILE) pyproject.toml --all-extras -c requirements/dev.txt -o requirements/runtime.txt \
	&& $(COMPILE) pyproject.toml --all-extras --group dev --group postgres --group mutate -c requirements/dev.txt -o requirements/mutate.txt \
	&& echo 'uv==$(UV_VERSION)' | $(COMPILE) - -o requirements/uv.txt

.PHONY: migration
migration: setup-dev  ## draft the next migration from the models: MESSAGE="what changes"
	@$(BIN)/python -m tests.support.new_migration "$(MESSAGE)"

.PHONY: clean
clean:  ## remove what was installed or cached here; data in var/ stays
	rm -rf .uv .venv .venv-mutate mutants build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { split($$1, name, ":"); printf "  make %-16s %s\n", name[1], $$2 }' $(MAKEFILE_LIST)
