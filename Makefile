# pe-node: `make demo` and `make test` are for everybody, the rest for developers.
#
#   make demo      a phantom CTPA through the whole node, results and pictures in target/demo
#   make check     for daily work: format, lints, library tests
#   make build     the program that is installed, in target/release
#   make test      what must pass before a merge: format, lints, documentation, every test, also those with peers
#   make viewer    the results in OHIF, in a real browser; screenshots in target/viewer
#   make evidence  the long measurements; tables go to tests/bench/results/
#   make fuzz      hostile bytes for everything that reads them, a minute each
#   make book      the documentation as a book in target/book
#   make audit     licences and sources of all dependencies
#
# Needs Rust, Python 3 with venv, and a C/C++ compiler; deploy/ and tests/ scripts bring the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/target/venv/bin:$(PATH)
export PE_NODE_PYTHON ?= $(CURDIR)/target/venv/bin/python
export PE_NODE_TEST_DATA ?= $(CURDIR)/../shared/data

# In CI everything is linted, and built once: what the next build would save is not worth its time. The CUDA backend of burn
# is 130 crates for one function of ours.
ifeq ($(CI),true)
export CARGO_INCREMENTAL := 0
FEATURES := --all-features
# Keeps the build scripts of the CUDA backend from downloading a compiler, which linting does not need.
LINTING := DOCS_RS=1
endif

.PHONY: help demo build check test lint rust-tests interop viewer evidence fuzz book audit tools peers onnxruntime clean

help:
	@sed -n 's/^#   /  /p' Makefile

demo: tools onnxruntime
	cargo run --no-default-features -- demo --out target/demo

# The program that users install and that is measured.
build: tools onnxruntime
	cargo build --release

check: tools
	cargo fmt --check
	$(CLIPPY)
	cargo test --lib

# The peers are fetched while the lints compile.
test: tools
	@$(MAKE) --no-print-directory --jobs=2 peers onnxruntime lint
	@$(MAKE) --no-print-directory rust-tests interop

CLIPPY := $(LINTING) cargo clippy --all-targets $(FEATURES) -- -D warnings

lint: tools
	cargo fmt --check
	$(CLIPPY)
	$(LINTING) RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items $(FEATURES)

# Examples are compiled by the lints and run by the integration tests.
rust-tests: tools peers onnxruntime
	cargo test --lib --test it
	cargo test --doc

# The program as the integration tests have it: `cargo build` would compile it once more, without what only tests need.
interop: tools peers onnxruntime
	cargo test --test it --no-run
	$(PE_NODE_PYTHON) -m pytest --numprocesses=3 --dist=loadscope --ignore=tests/interop/viewer tests/interop

viewer: build peers
	@tests/interop/viewer/install.sh
	PE_NODE_BINARY=$(CURDIR)/target/release/pe-node $(PE_NODE_PYTHON) -m pytest tests/interop/viewer

evidence: build peers viewer
	$(PE_NODE_PYTHON) tests/bench/run.py

# Compiles the program in another way first. PE_NODE_FUZZ_SECONDS=1800 for a night.
fuzz: tools
	@fuzz/run.sh $${PE_NODE_FUZZ_SECONDS:-60}

# Both compile their tool once, into target/tools, which takes minutes.
book:
	@docs/build-book.sh

audit:
	@deploy/audit.sh

# What the build needs beyond Rust and a C compiler.
tools:
	@deploy/install-build-tools.sh

# Other people's DICOM software that the tests talk to.
peers: tools
	@tests/install-peers.sh

onnxruntime: tools
	@deploy/fetch-onnxruntime.sh cpu

clean:
	cargo clean
