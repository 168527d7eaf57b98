# `make up` and `make test` need Python 3.11+ and git; everything else they fetch themselves.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
ARGS ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(STAMPS)/venv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Glasslipper needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(STAMPS)/venv requirements/run.txt pyproject.toml
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/run.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/test: $(STAMPS)/run requirements/test.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/test.txt
	@touch $@

$(STAMPS)/lint: $(STAMPS)/test requirements/lint.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/lint.txt
	@touch $@

# Which file torch is depends on the machine, so pip chooses it and no hash pins it.
TORCH ?= torch==2.13.0
$(STAMPS)/dsa: $(STAMPS)/test requirements/dsa.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dsa.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@

.PHONY: up
up: $(STAMPS)/run ## Set everything up, then serve
	@exec $(BIN)/glasslipper up $(ARGS)

.PHONY: test
test: $(STAMPS)/test ## Set everything up, then run the tests
	@PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

.PHONY: test-dsa
test-dsa: $(STAMPS)/dsa ## Test sparse attention: installs torch, a CPU build is enough
	@GLASSLIPPER_REQUIRE_DSA=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests/dsa $(ARGS)

.PHONY: test-system
test-system: $(STAMPS)/test $(STAMPS)/axe.min.js ## Test with what Debian has: installs nginx and Chromium (needs root)
	@command -v nginx >/dev/null || { apt-get update -qq && apt-get install -y -qq nginx-light >/dev/null; }
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }
	@PYTHONWARNDEFAULTENCODING=1 GLASSLIPPER_AXE=$(abspath $(STAMPS)/axe.min.js) \
	  $(BIN)/python -m pytest tests/system $(ARGS)

AXE_VERSION := 4.14.1
AXE_SHA256 := 29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c

$(STAMPS)/axe.min.js:
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq npm >/dev/null; }
	@mkdir -p $(STAMPS)/axe && cd $(STAMPS)/axe && npm pack --silent axe-core@$(AXE_VERSION) >/dev/null
	@tar -xzf $(STAMPS)/axe/axe-core-$(AXE_VERSION).tgz -C $(STAMPS)/axe package/axe.min.js
	@echo "$(AXE_SHA256)  $(STAMPS)/axe/package/axe.min.js" | sha256sum --check --quiet
	@mv $(STAMPS)/axe/package/axe.min.js $@ && rm -r $(STAMPS)/axe

.PHONY: lint
lint: $(STAMPS)/lint ## Check style, types and the one-way rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports

.PHONY: format
format: $(STAMPS)/lint ## Put the source into its standard form
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"

.PHONY: lock
lock: $(STAMPS)/venv ## Compile the requirement files anew
	@$(COMPILE) pyproject.toml -o requirements/run.txt
	@$(COMPILE) pyproject.toml --extra hf --group test -c requirements/run.txt -o requirements/test.txt
	@$(COMPILE) --group dsa -c requirements/test.txt -o requirements/dsa.txt
	@$(COMPILE) pyproject.toml --group lint -c requirements/test.txt -o requirements/lint.txt

.PHONY: clean
clean: ## Remove what was made here (never the ledger or the models)
	@rm -rf $(VENV) $(STAMPS) dist build

.PHONY: catalogue
catalogue: $(STAMPS)/run ## Write the catalogue of models and prices anew
	@$(BIN)/python scripts/catalogue.py

.PHONY: crash-test
crash-test: $(STAMPS)/test ## Kill a gateway under load again and again; count what is lost
	@$(BIN)/python benchmarks/crash_test.py $(ARGS)

.PHONY: budget-test
budget-test: $(STAMPS)/test ## Ask for more than a key may spend, from a thousand clients at once
	@$(BIN)/python benchmarks/budget_test.py $(ARGS)

.PHONY: bench-start
bench-start: $(STAMPS)/test ## Measure import, start, idle memory, and the size of the wheel
	@$(BIN)/python benchmarks/start.py $(ARGS)

.PHONY: bench-ledger
bench-ledger: $(STAMPS)/test ## Record, seal and kill: measure what the ledger costs and loses
	@$(BIN)/python benchmarks/ledger.py $(ARGS)

.PHONY: bench-report
bench-report: $(STAMPS)/test ## Study generated years: time, memory, what is recovered, false alarms, coverage
	@$(BIN)/python benchmarks/report.py $(ARGS)

.PHONY: report-traces
report-traces: $(STAMPS)/test ## Report on real traces (Azure, Mooncake): a page of each in build/
	@mkdir -p build && $(BIN)/python benchmarks/report_traces.py build

.PHONY: bench-gateway
bench-gateway: $(STAMPS)/test ## Measure CPU, throughput, latency, streams and memory beside other gateways
	@$(BIN)/python benchmarks/gateway.py $(ARGS)

.PHONY: referees
referees: $(STAMPS)/test ## Let suites and clients written by others judge a running gateway
	@$(BIN)/python -m referees $(ARGS)

.PHONY: fuzz
fuzz: $(STAMPS)/test ## Throw hostile bodies and cut streams at a gateway; count what it drops
	@PYTHONPATH=. $(BIN)/python benchmarks/fuzz.py $(ARGS)

.PHONY: train-classify
train-classify: $(STAMPS)/run ## Train the classifier's heads anew from the labelled prompts
	@$(BIN)/python benchmarks/classify_train.py $(ARGS)

.PHONY: bench-classify
bench-classify: $(STAMPS)/run ## Label prompts of sources that the classifier never saw
	@$(BIN)/python benchmarks/classify.py $(ARGS)

.PHONY: dsa-fit-smol
dsa-fit-smol: $(STAMPS)/dsa ## Fit sparse attention to a real model and measure what it costs
	@OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/dsa_fit_smol.py $(ARGS)

.PHONY: bench-dsa
bench-dsa: $(STAMPS)/dsa ## Time a decoding step of sparse attention on this CPU beside dense attention
	@$(BIN)/python benchmarks/dsa.py $(ARGS)

.PHONY: bench-puppeteer
bench-puppeteer: $(STAMPS)/test ## Train the orchestrator on five splits of logged answers; score it beside the field
	@$(BIN)/python benchmarks/puppeteer.py --partial $(ARGS)

.PHONY: puppeteer-fill
puppeteer-fill: $(STAMPS)/test ## Let three local models answer an exam, for hours; may be stopped and resumed
	@for id in smol coder-0.5b coder-1.5b; do $(BIN)/glasslipper models pull local/$$id; done
	@nice -n 19 $(BIN)/python benchmarks/puppeteer_fill.py $(ARGS)

.PHONY: puppeteer-live
puppeteer-live: $(STAMPS)/test ## Train a policy on three local models and hold it against each of them
	@for id in smol coder-0.5b coder-1.5b; do $(BIN)/glasslipper models pull local/$$id >&2; done
	@$(BIN)/python benchmarks/puppeteer_live.py $(ARGS)

.PHONY: puppeteer-consistency
puppeteer-consistency: $(STAMPS)/test ## One task many times: as a firm script, as auto, and talked over freely
	@for id in smol coder-0.5b; do $(BIN)/glasslipper models pull local/$$id >&2; done
	@$(BIN)/python benchmarks/puppeteer_consistency.py $(ARGS)
