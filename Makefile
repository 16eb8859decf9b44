# pe-node: two commands for everybody, the rest for its developers.
#
#   make demo      a phantom CTPA through the whole node, results and pictures in target/demo
#   make test      the gate: format, lints, documentation, every test, peers included
#   make viewer    the results in OHIF, in a real browser; screenshots in target/viewer
#   make evidence  the long measurements; tables go to tests/bench/results/
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

.PHONY: help demo build test lint rust-tests interop viewer evidence book audit tools peers onnxruntime clean

help:
	@sed -n 's/^#   /  /p' Makefile

demo: tools onnxruntime
	cargo run --release --no-default-features -- demo --out target/demo

build: tools onnxruntime
	cargo build --release

test: tools peers onnxruntime lint rust-tests interop

# All features: DOCS_RS keeps the build scripts of burn's CUDA backend from downloading a compiler, which checking does
# not need. A folder of its own, so that what is built after it is not built anew.
lint: tools
	cargo fmt --check
	DOCS_RS=1 cargo clippy --release --all-targets --all-features --target-dir target/lint -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --document-private-items

rust-tests: tools peers onnxruntime
	cargo test --release

interop: build peers
	$(PE_NODE_PYTHON) -m pytest tests/interop

viewer: build peers
	@tests/viewer/install.sh
	$(PE_NODE_PYTHON) -m pytest tests/viewer

evidence: build peers viewer
	$(PE_NODE_PYTHON) tests/bench/run.py

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
