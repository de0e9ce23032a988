# `make demo` shows Tasker at work; `make test` proves it. Both set up what they need. `make` alone lists the rest.

PARTS := $(shell deploy/check --list)

.PHONY: help demo test setup conformance features simulate guards bench bench-compare performance faults clean $(PARTS:%=test-%)

help:
	@echo 'make demo            real orders through three systems in three languages (KEEP=1 leaves it running)'
	@echo 'make test            every test; part by part with: $(PARTS:%=make test-%)'
	@echo 'make faults          kills, full disks, power cuts, broken networks: docs/reliability.md; ROWS=disk chooses'
	@echo 'make conformance     the three SDKs against the suite that decides what an SDK does'
	@echo 'make features        writes the feature table of README.md from the conformance reports'
	@echo 'make simulate        100,000 simulated clusters, a seed each; one: deploy/simulate --seed N --verbose'
	@echo 'make guards          takes every guard away in turn: each must turn something red'
	@echo 'make bench           what this machine can do, with a release build'
	@echo 'make bench-compare   instructions of the hot paths against the recorded baseline'
	@echo 'make performance     every row of the table in docs/performance.md, one after the other'
	@echo 'make setup           what the commands above do first; quick when nothing changed'
	@echo 'make clean           removes everything that was built or set up here'

demo:
	@deploy/setup demo
	@.venv/bin/python demo/run.py

test:
	@deploy/setup test
	@deploy/check

setup:
	@deploy/setup test

$(PARTS:%=test-%): test-%:
	@deploy/setup test
	@deploy/check $*

faults:
	@deploy/setup test
	@deploy/faults $(ROWS)

conformance:
	@deploy/setup demo
	@deploy/check conformance-rust conformance-python conformance-typescript

features: conformance
	@.venv/bin/python deploy/features.py write .tasker/conformance README.md

simulate:
	@deploy/simulate --seeds 100000

guards:
	@deploy/guards

bench:
	cargo build --locked --release --bin tasker
	"$${CARGO_TARGET_DIR:-target}/release/tasker" bench

bench-compare:
	@deploy/bench-compare

performance:
	@deploy/performance --write

clean:
	cargo clean
	rm -rf .venv .tasker worker-sdk/typescript/dist worker-sdk/typescript/node_modules demo/node_payments/dist demo/node_payments/node_modules
