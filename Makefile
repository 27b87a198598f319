# Two commands do everything:
#   make run     the main job: every recording, every network, one report
#   make test    everything that proves it
# The rest are their parts. CARGO_ARGS and RUN_ARGS are handed through:
#   make run RUN_ARGS="--network lte --case 'media/audio/*'"

CARGO ?= cargo
RUN_ARGS ?=
TARGET = $(or $(CARGO_TARGET_DIR),target)
export CARGO_TERM_COLOR ?= auto

.PHONY: run test needs fmt lint doc unit bench deny recordings help

run: needs ## The main job; the report is target/callrig/report.html
	$(CARGO) run --release --locked --bin callrig -- run $(RUN_ARGS)

test: needs judges fmt lint doc unit ## Everything that proves it

needs:
	@.ci/needs build

.PHONY: interop-media
interop-media: needs ## Chromium, aiortc and GStreamer call sessions and `callrig serve`, live
	@.ci/needs peers
	@test -x target/interop/bin/python || python3 -m venv target/interop
	@target/interop/bin/pip install --quiet aiortc
	AIORTC_PYTHON=$(CURDIR)/target/interop/bin/python \
		$(CARGO) test --workspace --all-features --locked --test interop -- --ignored --nocapture --test-threads 1
	$(CARGO) build --release --locked --bin callrig
	harness/tests/interop/live/run target/release/callrig

.PHONY: judges
judges:
	@.ci/needs judges
	@.ci/needs queue

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(CARGO) fetch --quiet --locked --manifest-path media/fuzz/Cargo.toml
	$(CARGO) fetch --quiet --locked --manifest-path signaling/fuzz/Cargo.toml

# With the features and examples of `lint`, so that nothing is checked a second time.
doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --lib --examples \
		--no-deps --document-private-items --locked

unit:
	$(CARGO) test --workspace --all-features --locked

# A second build of callrig, for the test that debug and release give the same traces: our
# crates optimised and unchecked over the dependencies that the tests have built anyway. (Asked
# for by a test that uses it: features are unified as they are for tests then.)
.PHONY: determinism
determinism: needs ## Two builds of callrig play the whole corpora alike
	$(CARGO) test --workspace --all-features --locked --no-run
	$(CARGO) --config .ci/optimised.toml test --workspace --all-features --locked --no-run --test controls
	cp $(TARGET)/debug/callrig $(TARGET)/callrig-optimised
	CALLRIG_OTHER_BINARY=$(abspath $(TARGET))/callrig-optimised \
		$(CARGO) test --workspace --all-features --locked --test it determinism

bench: needs ## criterion, for the developer at the desk
	$(CARGO) bench --workspace --locked

.PHONY: service-kills
service-kills: needs ## Services with a fault each: how many the cases find (the last line)
	@CALLRIG_FAULTS=1 $(CARGO) test --workspace --all-features --locked --lib \
		-- faults_of_a_service --nocapture 2>/dev/null | grep -E 'missed|service faults found'

.PHONY: kill-matrix
kill-matrix: needs ## Every faulty bot against every case of bots; the last line is the figure
	$(CARGO) run --release --locked --bin callrig -- kill-matrix $(KILL_ARGS)

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: needs ## Each fuzz target for FUZZ_SECONDS
	.ci/fuzz $(FUZZ_SECONDS)

.PHONY: interop
interop: needs ## The official clients for Python and JavaScript drive `callrig serve`
	$(CARGO) build --release --locked --bin callrig
	harness/tests/interop/run target/release/callrig

# Against what: the commit where this branch left it is built below target/ and compared.
BASE ?= origin/main
GATE_ARGS ?=
.PHONY: gate
gate: needs ## Does this branch make anything worse than where it left BASE?
	@.ci/needs gate
	.ci/gate $(BASE) $(GATE_ARGS)

STUDY_MINUTES ?= 60
.PHONY: gate-study
gate-study: needs ## How often the gate errs and what it finds; the last line is the figure
	@.ci/needs gate
	$(CARGO) test --workspace --all-features --locked --no-run --test gate_study
	.ci/layouts $(abspath $(TARGET))/study/links 224
	$(CARGO) build --release --locked -p callrig --bin callrig
	STUDY_BINARY=$(abspath $(TARGET))/release/callrig STUDY_LAYOUTS=$(abspath $(TARGET))/study/links \
		STUDY_PROFILE=release STUDY_MINUTES=$(STUDY_MINUTES) $(CARGO) test --workspace --all-features --locked --quiet \
		--test gate_study -- --full

deny: ## Licences, sources and duplicates of what we depend on (needs cargo-deny)
	$(CARGO) deny check licenses bans sources

recordings: needs ## Make the corpora's recordings again, from real encoders and senders
	@.ci/needs senders
	corpora/recipes/make.sh all

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'
