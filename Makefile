# The gate and the demo. Every target says what it does while it does it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Outside the checkout: a fresh clone finds what another one has built.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flashgate-billing/target

# Cargo does not compare the paths of sources: it would run a build of another checkout that is newer than the sources
# here. A build in another checkout recompiles the crates of this workspace; cached dependencies stay.
$(shell if [[ "$$(cat '$(CARGO_TARGET_DIR)/checkout' 2>/dev/null || true)" != '$(CURDIR)' ]]; then \
  rm -rf '$(CARGO_TARGET_DIR)'/*/.fingerprint/flashgate-*; \
  mkdir -p '$(CARGO_TARGET_DIR)' && echo '$(CURDIR)' > '$(CARGO_TARGET_DIR)/checkout'; fi)

# The gate plays the same random lives every time; `make explore` plays others.
export PROPTEST_RNG_SEED ?= 20260131

# What `make generate` writes; never edited by hand.
GENERATED := crds docs/reference/api.md docs/reference/entries.schema.json docs/reference/metrics.md \
  docs/reference/reasons.md \
  charts/flashgate-billing/templates/crds charts/flashgate-billing/values.schema.json \
  examples/argocd/argocd-cm.yaml examples/argocd/argocd-values.yaml

CARGO_DENY := 0.20.2

say = @printf '\n==> %s\n'

.PHONY: help
help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: control-plane ## runs the operator on a private control plane, applies examples/, shows the balances
	$(say) 'building the operator'
	@cargo build --bin flashgate-billing
	$(say) 'starting a private control plane for the demo'
	@cargo run --quiet --package flashgate-control-plane -- run --controller namespace-controller \
	  -- demo/run.sh "$$CARGO_TARGET_DIR/debug/flashgate-billing"

.PHONY: test
test: check control-plane chart-tools gitops-tools simulate bounds ## the gate, the simulator, every test on a real control plane
	$(say) 'testing the control planes themselves'
	@cargo test --workspace --test control_plane
	$(say) 'testing the operator on a real control plane'
	@cargo test --test campaign --test soak --test suite

.PHONY: check
check: format lint quick-tests docs generated patches licences ## the gate that needs no control plane, the same in CI

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

# Where `make install-manifest` writes.
OUT ?= install.yaml

.PHONY: install-manifest
install-manifest: ## renders the chart into OUT=install.yaml, for `kubectl apply`
	$(say) 'rendering $(OUT)'
	@deploy/render.sh everything > $(OUT)

.PHONY: explore
explore: ## plays other random lives against the naive reading of the laws, CASES=2000 of each kind
	$(say) 'playing random lives'
	@env -u PROPTEST_RNG_SEED PROPTEST_CASES=$(or $(CASES),2000) cargo test --package flashgate-ledger --test laws properties::

.PHONY: bench
bench: ## measures (benches/)
	$(say) 'measuring'
	@cargo bench --workspace --benches

.PHONY: capacity
capacity: control-plane ## measures what objects cost in etcd and in the operator's memory, for docs/how-to/capacity.md
	$(say) 'measuring what objects cost'
	@cargo test --test suite -- --ignored --nocapture capacity::

# How many seeds `make simulate` plays.
SEEDS ?= 10000

.PHONY: simulate
simulate: ## plays SEEDS=n runs of the operator against a cluster in memory, with faults
	$(say) 'simulating $(SEEDS) runs with faults'
	@cargo test --profile simulate --test simulator -- --seeds $(SEEDS)

# How many lives `make bounds` plays.
LIVES ?= 20000

.PHONY: bounds
bounds: ## plays LIVES=n lives of extremes: none may stop an account or outgrow the shipped definitions
	$(say) 'playing $(LIVES) lives of extremes'
	@cargo test --profile simulate --test bounds -- --lives $(LIVES)

# How many plans `make campaign` plays; `all` plays every one.
PLANS ?= 640

.PHONY: campaign
campaign: control-plane ## plays PLANS=n plans (or all) of faults between the operator and a real API server
	$(say) 'playing $(PLANS) plans on a real control plane'
	@cargo test --test campaign -- --plans $(PLANS) $(if $(TABLE),--table $(abspath $(TABLE)))

# How long `make soak` lasts, over how many accounts, and where its measurements and their graph go.
MINUTES ?= 30
SUBSCRIPTIONS ?= 2000
SOAK ?= docs/soak

.PHONY: soak
soak: control-plane ## loads SUBSCRIPTIONS=2000 accounts for MINUTES=30 while everything fails by chance, and draws it
	$(say) 'soaking $(SUBSCRIPTIONS) accounts for $(MINUTES) minutes'
	@cargo test --profile simulate --test soak -- --minutes $(MINUTES) --subscriptions $(SUBSCRIPTIONS) \
	  --output $(abspath $(SOAK))

# Which builds `make mutants` breaks: names of patches in tests/mutants/, or all.
ONLY ?=

.PHONY: mutants
mutants: control-plane ## runs the mutation tests, which prove that the suite catches real bugs (ONLY=names of tests/mutants/)
	$(say) 'breaking builds on purpose'
	@tests/mutants/run.sh $(ONLY)

.PHONY: campaign-broken
campaign-broken: control-plane ## runs mutation tests of the campaign, which prove that it catches real bugs
	$(say) 'playing the campaign with broken builds'
	@tests/mutants/run.sh --by campaign conflict-taken-for-success payment-not-kept-with-its-invoice \
	  receipts-dropped-before-they-are-confirmed

# How many seconds `make fuzz` spends on each target.
TIME ?= 60

.PHONY: fuzz
fuzz: ## fuzzes the parsers of untrusted input, TIME=60 seconds each
	@fuzz/run.sh $(TIME)

.PHONY: control-plane
control-plane: ## builds etcd, kube-apiserver and kubectl where they are missing
	$(say) 'finding etcd, kube-apiserver, kube-controller-manager and kubectl'
	@control-plane/build.sh

.PHONY: chart-tools
chart-tools: ## builds helm, helm-unittest and helm-docs, and fetches prometheus, where they are missing
	$(say) 'finding helm, helm-unittest and helm-docs'
	@control-plane/tools.sh
	$(say) 'finding prometheus and promtool'
	@control-plane/prometheus.sh

.PHONY: gitops-tools
gitops-tools: ## builds what judges objects as Helm, Flux and Argo CD do, where it is missing
	$(say) 'finding the judges of Helm, Flux and Argo CD'
	@control-plane/gitops/build.sh

# The parts of `check`, each callable alone.

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
	$(say) 'testing what needs no control plane'
	@cargo test --workspace --exclude flashgate-ledger --lib --bins
	@cargo test --workspace --exclude flashgate-ledger --doc

.PHONY: docs
docs:
	$(say) 'building the documentation'
	@RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --document-private-items

# Compared with what was there before, not with the last commit: right before a commit it must pass, too.
.PHONY: generated
generated:
	$(say) 'comparing $(GENERATED) with what is generated'
	@before=$$(mktemp -d); trap 'rm -rf "$$before"' EXIT; \
	tar -cf - $(GENERATED) | tar -xf - -C "$$before"; \
	$(MAKE) --no-print-directory generate; \
	for path in $(GENERATED); do diff -r "$$before/$$path" "$$path" || { \
	  echo "$$path was not what is generated; it is now: look at it and commit it"; exit 1; }; done

# A patch that no longer applies breaks nothing, and proves nothing.
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
	  echo 'skipped, CI does it: cargo install --locked cargo-deny --version $(CARGO_DENY)'; \
	fi
