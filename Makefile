SHELL := /bin/sh
ifneq ($(words $(CURDIR)),1)
$(error make does not work in a path that contains a space. Move the clone to another folder)
endif
VENV ?= .venv
PORT ?= 8080
UNIT ?= tests/unit
E2E ?= tests/e2e
WORKERS ?= auto
DELIVERIES ?= 50000
ROUNDS ?= 15
MINUTES ?= 10
CONFIG ?= default
BIN := $(VENV)/bin
OLDEST := 3.11

# PYTHON of the command line always counts; PYTHON of the environment may be for another project, and counts if it is
# recent enough.
SETUP_PYTHON = $(if $(findstring command line,$(origin PYTHON)),$(PYTHON),$(shell PYTHON='$(PYTHON)' sh tools/find_python.sh))

REQUIREMENTS := requirements/bootstrap.txt requirements/dev.txt requirements/engine.txt
export SAM_CLI_TELEMETRY := 0
# Keep bytecode on disk: otherwise each of the many processes compiles its imports again.
unexport PYTHONDONTWRITEBYTECODE
UV_COMPILE := $(BIN)/uv pip compile --quiet --system-certs --universal --python-version $(OLDEST) --generate-hashes \
	--custom-compile-command 'make lock'
define LOCK_INTO
$(UV_COMPILE) $(UPGRADE) pyproject.toml layers/callhooks/pyproject.toml --group pyproject.toml:dev -o $(1)/requirements/dev.txt && \
$(UV_COMPILE) layers/callhooks/pyproject.toml -c requirements/dev.txt -o $(1)/layers/callhooks/requirements.txt && \
$(UV_COMPILE) $(UPGRADE) --group pyproject.toml:engine -o $(1)/requirements/engine.txt && \
$(UV_COMPILE) $(UPGRADE) --group pyproject.toml:sam-local -c requirements/dev.txt -o $(1)/requirements/sam-local.txt && \
$(UV_COMPILE) $(UPGRADE) --group pyproject.toml:bootstrap -o $(1)/requirements/bootstrap.txt && \
$(UV_COMPILE) layers/callhooks/pyproject.toml --group pyproject.toml:build -c requirements/dev.txt -o $(1)/requirements/build.txt && \
printf '%s\n' runtime bare_pydantic powertools fastapi flask | xargs -P 5 -I PEER $(UV_COMPILE) $(UPGRADE) \
	--group pyproject.toml:bench-PEER -c requirements/dev.txt -o $(1)/bench/peers/PEER/requirements.txt && \
printf '%s\n' oldest newest | xargs -P 2 -I AGE $(UV_COMPILE) $(UPGRADE) \
	--group pyproject.toml:boto3-AGE -o $(1)/requirements/boto3-AGE.txt
endef
LOCKED := $(sort $(wildcard requirements/*.txt)) layers/callhooks/requirements.txt $(wildcard bench/peers/*/requirements.txt)
SAM := $(BIN)/sam
# sam reads only AWS_DEFAULT_REGION; other tools read AWS_REGION.
AWS := env -u AWS_ENDPOINT_URL $(if $(AWS_REGION),AWS_DEFAULT_REGION=$(AWS_REGION)) CALLHOOKS_VENV=$(abspath $(VENV)) PATH="$(abspath $(BIN)):$$PATH"

.DEFAULT_GOAL := help
.PHONY: help setup run test test-simulated test-deployed test-unit test-integration test-e2e test-faults test-sam-local \
	test-browser fuzz mutations soak bench check check-code check-types check-template check-prose check-lock docs \
	pictures fix lock build deploy remove clean

help: ## List all targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(VENV)/.complete ## Create the development environment (other targets do this automatically)

$(VENV)/.complete: $(REQUIREMENTS) pyproject.toml layers/callhooks/pyproject.toml tools/setup.py
	@test -n "$(SETUP_PYTHON)" || { echo "callhooks needs Python $(OLDEST) or later. Found: $$(python3 --version 2>&1)." \
		"Install one, or set its path: make $(MAKECMDGOALS) PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(SETUP_PYTHON) tools/setup.py $(VENV)
	@touch $@

run: setup ## Start the local stack (PORT=8080)
	@exec $(BIN)/callhooks run --port $(PORT)

test: test-simulated test-deployed ## Run all tests

# The first half computes all the time, the second often waits: .ci/run runs both at once.
test-simulated: test-unit test-integration test-browser

test-deployed: test-e2e test-faults test-sam-local

test-unit: setup
	@$(BIN)/python -m pytest -n $(WORKERS) $(UNIT)

test-integration: setup
	@$(BIN)/python -m pytest -n $(WORKERS) tests/integration

test-e2e: setup
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(E2E)

test-faults: setup
	@$(BIN)/python -m pytest tests/faults

test-sam-local: setup
	@$(BIN)/python -m pytest tests/sam_local

test-browser: setup
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/browser

fuzz: setup ## Run the property tests with random examples until one fails (MINUTES=10)
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

mutations: setup ## Remove each safeguard in turn and show which test fails
	@$(BIN)/python -m tests.mutations

soak: setup ## Simulate a day with an outage and check the promises (DELIVERIES=50000)
	@$(BIN)/python -m tests.soak --deliveries $(DELIVERIES)

bench: setup ## Compare the cost of a delivery with other implementations (ROUNDS=15)
	@$(BIN)/python -m bench --rounds $(ROUNDS)

check: check-lock check-types check-template check-prose check-code ## Check formatting, lint, types, the template, prose and lock files

check-code: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo --cache-dir .local/import_linter
	@$(BIN)/callhooks plan check
	@$(BIN)/callhooks tools --check

check-types: setup
	@$(BIN)/mypy

check-template: setup
	@$(BIN)/cfn-lint template.yaml docs/examples/*.yaml
	@$(SAM) validate --lint --region us-east-1

check-prose: setup
	@$(BIN)/codespell
	@$(BIN)/python -m tests.prose

docs: setup ## Write docs/openapi.json, the description of the call log API
	@$(BIN)/callhooks openapi > docs/openapi.json

pictures: setup ## Draw the README's pictures of the console and the terminal (needs Chromium)
	@$(BIN)/python -m docs.pictures.draw > /dev/null

fix: setup ## Format the code and apply automatic fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: setup ## Update the lock files after a change of pyproject.toml (UPGRADE=--upgrade for newer versions)
	@$(call LOCK_INTO,.)

# Lock copies with the same pins; they differ if a pyproject.toml has changed since the last `make lock`.
check-lock: setup
	@umask 077; for file in $(LOCKED); do mkdir -p .local/lock/$$(dirname $$file) && cp $$file .local/lock/$$file; done
	@$(call LOCK_INTO,.local/lock)
	@for file in $(LOCKED); do diff -u $$file .local/lock/$$file || \
		{ echo "$$file is out of date. Run 'make lock'" >&2; exit 1; }; done

build: setup ## Build the application for AWS (LAYER_PYTHON=3.13 LAYER_PLATFORM=aarch64-manylinux2014)
	@$(AWS) $(SAM) build

deploy: setup ## Build for the stack, and deploy to AWS (CONFIG=prod, PARAMETERS='AlarmAddress=ops@example.com ...', SAM_OPTIONS=--guided)
	@$(AWS) $(BIN)/python -m callhooks_tools.packaging.deploy --config-env $(CONFIG) $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS)) $(SAM_OPTIONS)

remove: setup ## Delete the stack from AWS (CONFIG=prod); events, SIP clients, spilled events and secrets remain
	@$(AWS) $(BIN)/python -m callhooks_tools.packaging.remove --config-env $(CONFIG) $(SAM_OPTIONS)

clean: ## Delete the environment and all build output
	rm -rf $(VENV) .local .aws-sam
