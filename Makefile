# Builds, tests and the demo. Each target prints its steps.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The target folder is outside the checkout, so a fresh clone reuses earlier builds.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flashgate-billing/target

# Cargo does not compare the paths of sources: it would run a newer build of another checkout. So a build in another
# checkout recompiles the crates of this workspace. Cached dependencies stay.
$(shell if [[ "$$(cat '$(CARGO_TARGET_DIR)/checkout' 2>/dev/null || true)" != '$(CURDIR)' ]]; then \
  rm -rf '$(CARGO_TARGET_DIR)'/*/.fingerprint/flashgate-*; \
  mkdir -p '$(CARGO_TARGET_DIR)' && echo '$(CURDIR)' > '$(CARGO_TARGET_DIR)/checkout'; fi)

# `make test` uses the same random cases every time. `make explore` uses other cases.
export PROPTEST_RNG_SEED ?= 20260131

# The files that `make generate` writes. Do not edit them.
GENERATED := crds docs/reference/api.md docs/reference/entries.schema.json docs/reference/metrics.md \
  docs/reference/openapi.json docs/reference/reasons.md \
  charts/flashgate-billing/templates/crds charts/flashgate-billing/values.schema.json \
  examples/argocd/argocd-cm.yaml examples/argocd/argocd-values.yaml

CARGO_DENY := 0.20.2

# Tests of the suite that run at the same time: one more than there are cores, because they wait for the control plane.
# More of them, each with its API server or browser, would wait for each other.
SUITE_THREADS ?= $(shell echo $$((1 + $$(nproc 2>/dev/null || echo 2))))

# All packages but the ledger, whose tests have a command of their own. The same selection of packages in all commands
# lets cargo build each crate with the same features, and so once.
REST := --workspace --exclude flashgate-ledger

say = @printf '\n==> %s\n'

.PHONY: help
help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: control-plane ## runs the operator on a private control plane, applies examples/, and serves the page (KEEP=1 until Ctrl+C)
	$(say) 'building the operator'
	@cargo build --bin flashgate-billing
	$(say) 'starting a private control plane for the demo'
	@cargo run --quiet --package flashgate-control-plane -- run --controller namespace-controller \
	  -- demo/run.sh "$$CARGO_TARGET_DIR/debug/flashgate-billing"

.PHONY: test
test: check control-plane chart-tools gitops-tools browser-tools simulate bounds ## runs all checks, the simulator, and all tests on a real control plane
	$(say) 'testing the history on SQLite and PostgreSQL'
	@cargo test $(REST) --test stores
	$(say) 'testing the control planes themselves'
	@cargo test $(REST) --test control_plane
	$(say) 'testing the operator on a real control plane'
	@RUST_TEST_THREADS=$(SUITE_THREADS) cargo test $(REST) --test campaign --test soak --test suite

.PHONY: check
check: format lint quick-tests docs generated patches licences ## runs all checks that need no control plane

.PHONY: generate
generate: ## regenerates the files that are derived from the code
	$(say) 'generating $(GENERATED)'
	@cargo run --quiet --package xtask -- generate

.PHONY: generate-chart
generate-chart: generate ## regenerates the chart's README and the kustomize base; needs helm
	$(say) 'rendering the chart'
	@tools=$$(control-plane/tools.sh); \
	"$$tools/helm-docs" --log-level warning --chart-search-root charts --sort-values-order file
	@deploy/render.sh definitions > deploy/kustomize/definitions.yaml
	@deploy/render.sh operator > deploy/kustomize/operator.yaml

.PHONY: image
image: ## builds the image from the Dockerfile by buildah, without a registry, and checks it; needs root
	$(say) 'building the image'
	@deploy/image.sh

# The output file of `make install-manifest`.
OUT ?= install.yaml

.PHONY: install-manifest
install-manifest: ## renders the chart into OUT=install.yaml, for `kubectl apply`
	$(say) 'rendering $(OUT)'
	@deploy/render.sh everything > $(OUT)

.PHONY: explore
explore: ## compares the laws with the reference implementation on CASES=2000 new random cases of each kind
	$(say) 'comparing the laws with the reference implementation on random cases'
	@env -u PROPTEST_RNG_SEED PROPTEST_CASES=$(or $(CASES),2000) cargo test --package flashgate-ledger --test laws properties::

.PHONY: bench
bench: ## runs the benchmarks
	$(say) 'running the benchmarks'
	@cargo bench --workspace --benches

.PHONY: capacity
capacity: control-plane ## measures the size of objects in etcd and in the operator's memory, for docs/how-to/capacity.md
	$(say) 'measuring the size of objects'
	@cargo test --test suite -- --ignored --nocapture capacity::

.PHONY: portal-speed
portal-speed: control-plane ## measures the portal with 10,000 accounts and 10 million rows of usage, for docs/speed.md
	$(say) 'measuring the portal'
	@cargo test --profile simulate --test suite -- --ignored --nocapture portal_speed::

.PHONY: gate-speed
gate-speed: ## measures a gate with 100,000 accounts beside a bare server, for docs/speed.md
	$(say) 'measuring the gate'
	@cargo test --profile simulate --test suite -- --ignored --nocapture gate_speed::

.PHONY: meter-speed
meter-speed: control-plane ## measures a meter with 1,000 accounts of 20 series each, for docs/speed.md
	$(say) 'measuring the meter'
	@cargo test --profile simulate --test suite -- --ignored --nocapture meter_speed::

# The number of seeds of `make simulate`.
SEEDS ?= 10000

.PHONY: simulate
simulate: ## runs the operator with a cluster in memory and random faults, for SEEDS=n seeds
	$(say) 'simulating $(SEEDS) runs with faults'
	@cargo test --profile simulate --test simulator -- --seeds $(SEEDS)

# The number of accounts of `make bounds`.
LIVES ?= 20000

.PHONY: bounds
bounds: ## tests LIVES=n accounts with extreme values: none may stop or exceed the limits of the CRDs
	$(say) 'testing $(LIVES) accounts with extreme values'
	@cargo test --profile simulate --test bounds -- --lives $(LIVES)

# The number of plans of `make campaign`, or `all`.
PLANS ?= 640

.PHONY: campaign
campaign: control-plane ## runs PLANS=n plans (or all) of faults between the operator and a real API server
	$(say) 'running $(PLANS) plans of faults on a real control plane'
	@cargo test --test campaign -- --plans $(PLANS) $(if $(TABLE),--table $(abspath $(TABLE)))

# The duration of `make soak`, its number of accounts, and the folder for its measurements and their graph.
MINUTES ?= 30
SUBSCRIPTIONS ?= 2000
SOAK ?= docs/soak

.PHONY: soak
soak: control-plane ## loads SUBSCRIPTIONS=2000 accounts for MINUTES=30 with random faults, and draws a graph
	$(say) 'soaking $(SUBSCRIPTIONS) accounts for $(MINUTES) minutes'
	@cargo test --profile simulate --test soak -- --minutes $(MINUTES) --subscriptions $(SUBSCRIPTIONS) \
	  --output $(abspath $(SOAK))

# Names of the patches in tests/mutants/ that `make mutants` tests. Default: all.
ONLY ?=

.PHONY: mutants
mutants: control-plane ## runs the mutation tests, which prove that the suite catches real bugs (ONLY=names of tests/mutants/)
	$(say) 'running the mutation tests'
	@tests/mutants/run.sh $(ONLY)

.PHONY: campaign-broken
campaign-broken: control-plane ## runs mutation tests of the campaign, which prove that it catches real bugs
	$(say) 'running the campaign on mutants'
	@tests/mutants/run.sh --by campaign conflict-taken-for-success payment-not-kept-with-its-invoice \
	  receipts-dropped-before-they-are-confirmed

# Seconds that `make fuzz` spends on each target.
TIME ?= 60

.PHONY: fuzz
fuzz: ## fuzzes each parser of untrusted input for TIME=60 seconds
	@fuzz/run.sh $(TIME)

.PHONY: control-plane
control-plane: ## builds etcd, kube-apiserver and kubectl if they are missing
	$(say) 'finding etcd, kube-apiserver, kube-controller-manager and kubectl'
	@control-plane/build.sh

.PHONY: chart-tools
chart-tools: ## builds helm, helm-unittest and helm-docs, and fetches prometheus, nginx and caddy, if they are missing
	$(say) 'finding helm, helm-unittest and helm-docs'
	@control-plane/tools.sh
	$(say) 'finding prometheus and promtool'
	@control-plane/prometheus.sh
	$(say) 'finding nginx and caddy'
	@control-plane/proxies.sh

.PHONY: gitops-tools
gitops-tools: ## builds the health checks of Helm, Flux and Argo CD, if they are missing
	$(say) 'finding the health checks of Helm, Flux and Argo CD'
	@control-plane/gitops/build.sh

.PHONY: browser-tools
browser-tools: ## unpacks chromium, chromedriver and axe-core for the tests of the page, if they are missing
	$(say) 'finding chromium, chromedriver and axe-core'
	@control-plane/browser.sh

# The parts of `check`. You can run each one alone.

.PHONY: format
format:
	$(say) 'checking the format'
	@cargo fmt --all --check

.PHONY: lint
lint:
	$(say) 'linting'
	@cargo clippy --workspace --all-targets -- --deny warnings

.PHONY: quick-tests
quick-tests:
	$(say) 'testing the ledger'
	@cargo test --package flashgate-ledger
	$(say) 'running the tests that need no control plane'
	@cargo test $(REST) --lib --bins
	$(say) 'running meters with a server and a cluster in memory'
	@cargo test $(REST) --test exact --test simulated
	@cargo test $(REST) --doc

.PHONY: docs
docs:
	$(say) 'building the documentation'
	@RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --document-private-items

# Compares with the files in the checkout and not with the last commit, so that it passes before a commit.
.PHONY: generated
generated:
	$(say) 'checking that generated files are up to date: $(GENERATED)'
	@before=$$(mktemp -d); trap 'rm -rf "$$before"' EXIT; \
	tar -cf - $(GENERATED) | tar -xf - -C "$$before"; \
	$(MAKE) --no-print-directory generate; \
	for path in $(GENERATED); do diff -r "$$before/$$path" "$$path" || { \
	  echo "$$path was not up to date and is now regenerated: check the difference and commit it"; exit 1; }; done

# A patch that does not apply tests nothing.
.PHONY: patches
patches:
	$(say) 'checking that each patch of tests/mutants applies'
	@for patch in tests/mutants/*.patch; do git apply --check "$$patch" || { \
	  echo "$$patch does not apply: update its context lines"; exit 1; }; \
	  grep -qF "| $$(head -n 1 "$$patch") |" docs/reliability.md || { \
	  echo "$$patch has no row in docs/reliability.md: add its first line with its first failing test"; exit 1; }; done

.PHONY: licences
licences:
	$(say) 'checking licences, bans and sources of the dependencies'
	@if cargo deny --version >/dev/null 2>&1; then \
	  cargo deny check licenses bans sources; \
	elif [[ -n "$${CI:-}" ]]; then \
	  echo 'cargo-deny must be installed in CI'; exit 1; \
	else \
	  echo 'skipped, but CI runs it. To run it here: cargo install --locked cargo-deny --version $(CARGO_DENY)'; \
	fi
