# 证链 Zhenglian. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
PY := PYTHONPATH=$(CURDIR):$(CURDIR)/clients $(BIN)/python

# Compiled modules are kept whatever the caller's environment says: each of the many processes of a run starts a fifth sooner.
unexport PYTHONDONTWRITEBYTECODE

# The crypto suite that demo, unit, sim and e2e run under: intl or sm.
SUITE ?= intl
export ZHENGLIAN_SUITE := $(SUITE)

# Runs a part of `make test` and prints how long it took.
define part
	@start=$$(date +%s); echo "== $(1)"; { $(2); } || exit 1; echo "-- $(1): $$(( $$(date +%s) - start )) s"
endef

.DEFAULT_GOAL := help
.PHONY: help s3 api-fuzz attacks attacks-some attacks-watermark passkeys passkeys-some chromium bench-release sm-some hsm hsm-some softhsm setup demo test lint types unit sim crash-some e2e-some e2e crash fuzz neighbours tamper mutants vectors verifier fuzz-verifiers lock bench bench-ledger clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP) ## an environment of its own in .venv, with locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "需要 Python 3.11 或更高版本。Python 3.11 or later is needed; set PYTHON=python3.11."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "无法创建虚拟环境，请先安装 python3-venv。Cannot create a virtual environment; install python3-venv."; exit 1; }
	@echo "Installing locked dependencies into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*; touch $@

demo: setup ## the whole story on four nodes; leaves its files in build/demo; SUITE=sm for 国密
	@$(BIN)/python -m zhenglian_demo

test: setup ## what CI runs: lint, types, unit tests, simulation, some crash points, end to end
	@$(MAKE) --no-print-directory lint types unit sim sm-some verifier crash-some hsm-some passkeys-some attacks-some e2e-some
	@echo "make test: all parts passed"

lint: setup ## ruff and import-linter
	$(call part,static: ruff and import-linter,$(BIN)/ruff check . && $(BIN)/ruff format --check . && PYTHONPATH=.:clients $(BIN)/lint-imports)

types: setup ## mypy --strict
	$(call part,static: mypy --strict,$(BIN)/mypy)

JOBS ?= 2
unit: setup ## unit tests; JOBS=n processes
	$(call part,unit tests,$(PY) -m pytest -n $(JOBS) --dist worksteal --durations 12 tests/unit)

SEEDS ?= 0
SEED ?=
sim: setup ## seeded simulation of whole clusters; SEEDS=n for a campaign, SEED=x to replay one
ifneq ($(SEED),)
	@$(PY) -m tests.simulation --seed $(SEED) --trace
else ifneq ($(SEEDS),0)
	@$(PY) -m tests.simulation --seeds $(SEEDS)
else
	$(call part,simulation,$(PY) -m pytest tests/simulation)
endif

hsm: setup softhsm ## keys in a PKCS#11 token: a real SoftHSM2, one node of four in it
	$(call part,keys in a token,$(PY) -m pytest tests/hsm)

softhsm:
	@command -v softhsm2-util >/dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq softhsm2 >/dev/null; } \
		|| { echo "需要 SoftHSM2：apt-get install softhsm2。SoftHSM2 is needed: apt-get install softhsm2."; exit 1; }

VERSITYGW_VERSION ?= v1.8.0
VERSITYGW := build/bin/versitygw
s3: setup $(VERSITYGW) ## ciphertext in a bucket: a real S3-compatible service (Versity's gateway; needs Go)
	$(call part,ciphertext in a bucket,VERSITYGW=$(CURDIR)/$(VERSITYGW) $(PY) -m pytest tests/s3)

$(VERSITYGW):
	@command -v go >/dev/null || { echo "需要 Go：apt-get install golang-go。Go is needed: apt-get install golang-go."; exit 1; }
	@echo "Building Versity's S3 gateway $(VERSITYGW_VERSION) …"
	@GOBIN=$(CURDIR)/build/bin go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

# As a part of `make test`: where no token can be had, it says that this part was not run.
hsm-some: setup
	@if $(MAKE) --no-print-directory softhsm; then $(MAKE) --no-print-directory hsm; \
		else echo "== 未运行 NOT RUN: keys in a token (make hsm)"; fi

crash-some:
	$(call part,crash points: a selection,$(PY) -m pytest tests/crash)

# Two networks at a time, since most of a story on real nodes is waiting; the longest story first.
e2e-some:
	$(call part,end to end,$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations 12 tests/e2e/test_shared_keys.py tests/e2e)

attacks: setup ## every attack of the design on four real nodes, with a table
	@$(PY) -m tests.attacks --json

attacks-some: setup
	$(call part,attacks: a selection,$(PY) -m tests.attacks --quick)

# Other tools for comparison, in an environment of their own; where they cannot be had, the table says so.
WATERMARK_PEERS := build/peers
TRIALS ?= 60
NULLS ?= 1000000
attacks-watermark: setup $(WATERMARK_PEERS)/.installed ## attack marked copies beside other tools; TRIALS=300 a goal for the full run, NULLS=n, MINUTES=m, ONLY="text …"
	@$(PY) -m tests.attacks.watermark --trials $(TRIALS) --nulls $(NULLS) --resume $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only $(ONLY))
	@$(PY) -m tests.attacks.watermark.quality

$(WATERMARK_PEERS)/.installed: tests/attacks/watermark/peers.txt | setup
	@rm -rf $(WATERMARK_PEERS)
	@{ $(BIN)/python -m venv $(WATERMARK_PEERS) \
		&& $(WATERMARK_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $< && touch $@; } \
		|| { rm -rf $(WATERMARK_PEERS); echo "未能安装对比工具，表中注明。The other tools cannot be installed; the table says so."; }

passkeys: setup chromium ## passkeys in a real Chromium with its virtual authenticator, on a real network
	$(call part,passkeys in Chromium,ZHENGLIAN_SUITE=intl $(PY) -m pytest tests/browser)

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || test -n "$${CHROMIUM:-}" \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
		|| { echo "需要 Chromium：apt-get install chromium。Chromium is needed: apt-get install chromium."; exit 1; }

# As a part of `make test`: where no browser can be had, it says that this part was not run.
passkeys-some: setup
	@if $(MAKE) --no-print-directory chromium; then $(MAKE) --no-print-directory passkeys; \
		else echo "== 未运行 NOT RUN: passkeys in Chromium (make passkeys)"; fi

FAULTS ?=
e2e: setup ## every fault on real node processes in network namespaces, with a table; FAULTS="name …" for some
	@$(PY) -m tests.e2e.faults $(if $(filter-out all,$(FAULTS)),$(FAULTS),--all) --json

CRASH_EVERY ?= 1
crash: setup ## every crash point: kills, damaged files, replayed writes of LMDB (needs the Debian package strace)
	@$(PY) -m tests.crash --every $(CRASH_EVERY)

SECONDS ?= 300
FUZZ_ENGINE := build/fuzz/engine
fuzz: setup $(FUZZ_ENGINE)/.installed ## fuzz every decoder that faces a peer; SECONDS=n
	@$(PY) -m tests.fuzz --seconds $(SECONDS)

# The coverage-guided engine has wheels for few systems; without it the fuzzer generates inputs and says so.
$(FUZZ_ENGINE)/.installed: tests/fuzz/requirements.lock | setup
	@mkdir -p $(FUZZ_ENGINE)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
		--upgrade --target $(FUZZ_ENGINE) -r tests/fuzz/requirements.lock \
		|| echo "atheris has no wheel for this Python: inputs are generated without coverage guidance."
	@touch $@

EACH ?= 10
neighbours: setup ## every call of the contract tests beside variants of it, by anybody and later; EACH=n of them
	@$(PY) -m tests.fuzz.neighbours --each $(EACH) --seed $$RANDOM tests/unit/test_contracts_*.py tests/unit/test_shared_keys_*.py

FLIP_EVERY ?= 101
tamper: setup ## flip bytes of a store's file, one of every FLIP_EVERY; each that matters must be found and located
	@$(PY) -m tests.tamper --stride $(FLIP_EVERY)

mutants: setup ## remove the rules of consensus one at a time; the tests must notice each
	@$(PY) -m tests.mutants

vectors: export ZHENGLIAN_SUITE := intl
vectors: setup ## write the golden vectors anew; an explicit act
	@$(PY) -m tests.vectors.generate && $(PY) -m tests.vectors.generate_sm
	@$(PY) -m tests.vectors.generate_proofs && ZHENGLIAN_SUITE=sm $(PY) -m tests.vectors.generate_proofs

SM_UNITS := ledger_quorum ledger_receipts ledger_epochs ledger_vectors contracts_runtime contracts_membership \
	consensus_votes node_vault node_identity http_sessions sdk_keyfile
SM_STORY := exactly_the_granted or anybody_can_check
sm-some: export ZHENGLIAN_SUITE := sm
sm-some: setup
	$(call part,suite sm,$(PY) -m pytest $(SM_UNITS:%=tests/unit/test_%.py) && $(PY) -m pytest tests/simulation/test_campaign.py -k real && $(PY) -m pytest tests/e2e/city/test_main_job.py -k "$(SM_STORY)")

verifier: setup ## the TypeScript verifier, and both verifiers against each other (needs Node.js 20)
	$(call part,verifier in TypeScript,(cd clients/verifier && npm ci --silent && npm run -s check && npm test --silent) && $(PY) -m tests.fuzz.verifiers --runs 600 --seed 1)

fuzz-verifiers: setup ## tampered receipts through both verifiers; SECONDS=n
	@$(PY) -m tests.fuzz.verifiers --seconds $(SECONDS) --seed $$RANDOM

bench: setup ## measurements into bench/results
	@$(PY) -m bench

api-fuzz: setup ## schemathesis against a running network's OpenAPI document, as every kind of caller: no 5xx
	@$(PY) -m tests.api_fuzz

bench-release: setup ## a JSON release at four nodes from request to bytes, one at a time and 64 at once
	@$(PY) -m bench.release

bench-watermark: setup ## what marking and tracing cost, each medium beside its goal, and a trace among a million releases
	@$(PY) -m bench.watermark

bench-ledger: setup ## what authenticated state costs as it grows, to ten million entries
	@$(PY) -m bench.ledger

lock: ## resolve dependencies anew (needs uv)
	@uv pip compile --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra demo --extra hsm --extra dev pyproject.toml -o requirements.lock

clean: ## remove the environment and everything built
	@rm -rf $(VENV) build
