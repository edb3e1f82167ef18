# One command at the desk equals CI.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export RUSTDOCFLAGS := -D warnings

# Programs that `make install` puts there, so that nobody compiles them.
TOOLS := target/tools/bin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: test
test: install check deploy-check ## Install what is missing, then check and test everything
	cargo test --workspace --no-fail-fast

.PHONY: check
check: $(TOOLS)/cargo-deny $(TOOLS)/cargo-shear ## Formatting, lints, documentation and dependencies without a warning
	cargo fmt --all --check
	cargo fetch --locked
	$(TOOLS)/cargo-deny --offline --locked check bans licenses sources
	$(TOOLS)/cargo-shear --offline --locked --deny-warnings
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test cluster -- -D warnings
	cargo clippy --package ssl-manager --no-default-features -- -D warnings
	cargo doc --workspace --no-deps --document-private-items

$(TOOLS)/%:
	@echo "$@ is missing: make install" >&2; exit 1

.PHONY: deploy-check
deploy-check: ## Compose and Kubernetes files against their schemas and our rules
	deploy/check.sh

.PHONY: install
install: ## Install the servers and the browser that the tests start
	tests/install.sh

PREFIX ?= /usr/local
# What is installed; packages and tests name one that is built already.
PROGRAM ?= target/release/ssl-manager

target/release/ssl-manager:
	cargo build --release --package ssl-manager --no-default-features

.PHONY: install-program
install-program: $(PROGRAM) ## Build the program; install it with manual pages, completions, a systemd unit and a bill of materials below PREFIX (and DESTDIR)
	install -D -m 0755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/ssl-manager
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(PROGRAM) man $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(PROGRAM) completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ssl-manager
	$(PROGRAM) completions zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ssl-manager
	$(PROGRAM) completions fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ssl-manager.fish
	install -d $(DESTDIR)$(PREFIX)/share/doc/ssl-manager
	deploy/sbom.sh --no-default-features >$(DESTDIR)$(PREFIX)/share/doc/ssl-manager/ssl-manager.cdx.json
	sed 's|@PREFIX@|$(PREFIX)|' deploy/systemd/ssl-manager.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/ssl-manager.service

.PHONY: sbom
sbom: ## Write what is linked into the program as CycloneDX: target/sbom/ssl-manager.cdx.json
	mkdir -p target/sbom
	deploy/sbom.sh --no-default-features >target/sbom/ssl-manager.cdx.json

.PHONY: demo
demo: ## Run all roles and a sandbox of the outside world on loopback
	cargo run -- demo

.PHONY: faults
faults: install ## Search for faults for an hour: 2,000 random sequences, 2,000 domains that fail and are fixed, two years of 1,000 domains, attacks of a minute, jobs of 5,000 names that are killed, overlapping groups of steps, three brokers of which the leader dies
	SEED=$$(date +%s) SEQUENCES=2000 cargo test --package tests --test sequences -- --nocapture
	DOMAINS=2000 cargo test --package tests --test mended -- --nocapture
	DOMAINS=1000 cargo test --package tests --test year -- --nocapture
	SEED=$$(date +%s) DOMAINS=1000 cargo test --package tests --test troubled_year -- --nocapture
	ATTACK_SECONDS=60 cargo test --package tests --test strangers -- --nocapture
	ROUNDS=1000 cargo test --package store --test grouped -- --nocapture
	DOMAINS=10000 cargo test --package notifier a_thousand_domains -- --nocapture
	JOB_NAMES=5000 cargo test --package tests --test jobs a_job_outlives_the_api -- --nocapture
	cargo test --package tests --test cluster -- --nocapture

SOAK_SECONDS ?= 600

.PHONY: soak
soak: install ## Add domains for ten minutes (SOAK_SECONDS) with a failure every 20 s; writes docs/reports/soak.md
	SOAK_SECONDS=$(SOAK_SECONDS) SOAK_REPORT=$(CURDIR)/docs/reports/soak.md cargo test --package tests --test soak -- --nocapture

.PHONY: bench
bench: ## Run benchmarks for half an hour; writes docs/reports; PART=name measures one part (see --help of the program)
	tests/install.sh bench
	cargo build --release --package ssl-manager
	cargo build --release --package tests --bin bench
	target/release/bench $(or $(PART),--report docs/reports)

FUZZ_SECONDS ?= 60

# libFuzzer needs flags of the compiler that are not stable, hence the bootstrap.
.PHONY: fuzz
fuzz: export RUSTC_BOOTSTRAP = 1
fuzz: ## Random input for a minute each: names, certificates and their files, messages, answers (see fuzz/README.md)
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	for target in $$(cargo fuzz list --fuzz-dir fuzz); do \
		mkdir -p fuzz/found/$$target; \
		cargo fuzz run --fuzz-dir fuzz $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=20; \
	done

.PHONY: protos
protos: ## Write the Rust code of the protos
	WRITE_GENERATED_CODE=1 cargo test --package proto --test generated

.PHONY: docs
docs: protos ## Write docs/API.md from the protos, and docs/SENTENCES.md
	WRITE_API_REFERENCE=1 cargo test --workspace --test reference
	WRITE_SENTENCES=1 cargo test --package domain --test sentences

.PHONY: audit
audit: $(TOOLS)/cargo-deny ## Look for known vulnerabilities and unwanted licences
	$(TOOLS)/cargo-deny check
