# Two commands do everything on a fresh machine: `make run` and `make test`. `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ORT_VERSION := 1.32.0
ORT_WHEEL_SHA256 := 5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d
ORT_LIBRARY_SHA256 := 6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f
ORT_LIBRARY := libonnxruntime.so.$(ORT_VERSION)
ORT := .cache/onnxruntime/$(ORT_LIBRARY)
CHECKS := .cache/checks
CLIENTS := .cache/clients/ready
TEST_PACKAGES := mosquitto mosquitto-clients redis-server chromium postgresql faketime iproute2 systemd

# The page: built by Node into its folder `dist`, from where cargo takes it into the binary.
WEB := src/dashboard/web
PAGE := $(WEB)/dist/index.html.gz
PAGE_SOURCES := $(shell find $(WEB) \( -name node_modules -o -name dist \) -prune -o -type f -print)
PAGE_LIBRARIES := $(WEB)/node_modules/.package-lock.json

.PHONY: help build run test torture mutations check bench roundtrip clients page fetch test-servers models clean

help: ## Lists these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: $(ORT) $(PAGE) ## Builds target/release/odograph, ready to run
	cargo build --release --locked
	cp -u $(ORT) target/release/

run: build ## The whole product on embedded defaults, with a simulated fleet of 200 vehicles
	./target/release/odograph run --simulate 200

test: $(ORT) $(PAGE) $(CLIENTS) test-servers ## Every test, against real servers that it starts itself
	cargo test --locked --workspace --lib --bins --tests --no-fail-fast
	node --test --test-reporter=spec tests/page/

check: $(ORT) $(PAGE) $(CHECKS)/ready ## Format, spelling, lints as errors (of the image too), licences, unused dependencies, documentation, and every test
	cargo fmt --all --check
	$(CHECKS)/bin/typos
	$(CHECKS)/bin/cargo-deny --locked --log-level error check --hide-inclusion-graph licenses bans sources
	$(CHECKS)/bin/cargo-shear --locked
	$(CHECKS)/bin/hadolint --config config/hadolint.yaml Dockerfile
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd $(WEB) && npm run --silent check
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	$(MAKE) test

torture: $(ORT) $(PAGE) test-servers ## The tests of faults at length, an hour or two: 300 kills, ten minutes without PostgreSQL, 50 million readings
	ODOGRAPH_TEST_TORTURE=1 cargo test --locked --test it --no-fail-fast -- --test-threads 1 --nocapture \
	    cut:: kill:: machine:: network:: postgres:: redis:: shared:: twin::

mutations: $(ORT) $(PAGE) test-servers ## Breaks what tests guard, one place after another, and says what no test noticed
	python3 tests/mutations.py

bench: build ## The benchmarks of the whole line and of scoring, on this machine
	./target/release/odograph bench line
	./target/release/odograph bench scoring

roundtrip: $(ORT) ## Scoring in this process beside a Python scorer over gRPC
	python3 -m venv .cache/roundtrip
	.cache/roundtrip/bin/pip install --quiet --require-hashes --only-binary=:all: --requirement benches/roundtrip/requirements.txt
	cargo bench --locked --bench roundtrip -- --python .cache/roundtrip/bin/python

clients: $(CLIENTS) ## Python with the libraries of the tests' gRPC clients

$(CLIENTS): tests/clients/requirements.txt
	python3.11 -m venv .cache/clients
	.cache/clients/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement $<
	touch $@

page: $(PAGE) ## The page alone, for a debug build that runs

$(PAGE_LIBRARIES): $(WEB)/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || { echo "The page is built by Node 20 or newer, which is missing." >&2; exit 1; }
	cd $(WEB) && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

$(PAGE): $(PAGE_SOURCES) $(PAGE_LIBRARIES)
	cd $(WEB) && npm run --silent build -- --logLevel warn

fetch: $(ORT) ## ONNX Runtime from its PyPI wheel, by pinned hash

# Nothing is installed into Python: the library is taken out of the wheel.
$(ORT):
	rm -rf .cache/onnxruntime && mkdir -p .cache/onnxruntime
	echo "onnxruntime==$(ORT_VERSION) --hash=sha256:$(ORT_WHEEL_SHA256)" > .cache/onnxruntime/requirements.txt
	python3 -m pip download --quiet --no-deps --require-hashes --only-binary=:all: --python-version 3.11 \
	    --platform manylinux_2_28_x86_64 --dest .cache/onnxruntime --requirement .cache/onnxruntime/requirements.txt
	python3 -c 'import glob, sys, zipfile; \
	    wheel = zipfile.ZipFile(glob.glob(".cache/onnxruntime/*.whl")[0]); \
	    open(sys.argv[1] + ".part", "wb").write(wheel.read("onnxruntime/capi/$(ORT_LIBRARY)"))' $@
	echo "$(ORT_LIBRARY_SHA256)  $@.part" | sha256sum --check --quiet
	rm .cache/onnxruntime/*.whl .cache/onnxruntime/requirements.txt
	mv $@.part $@

$(CHECKS)/ready: .ci/checks.txt
	rm -rf $(CHECKS)
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes --only-binary=:all: --target $(CHECKS) --requirement $<
	touch $@

# RUNLEVEL=1: installing must not start a server of the system's.
test-servers: ## Installs the servers that the tests start (Debian packages)
	@for package in $(TEST_PACKAGES); do dpkg-query --show --showformat='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$${missing:-} $$package"; done; \
	if [ -n "$${missing:-}" ]; then \
	    if [ "$$(id -u)" != 0 ]; then echo "The tests need the Debian packages$$missing: sudo apt-get install$$missing" >&2; exit 1; fi; \
	    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

# The same files and seeds give the same models. Seeds from 1000 on are kept for measuring.
TRAINED := .cache/training
DRIVES := ../shared/data/kit_obd2
ODOGRAPH := target/release/odograph

models: build $(TRAINED)/ready ## Trains the shipped models again: real drives for one, the simulator's healthy fleets for two
	for seed in 11 12 13 14; do \
	    $(ODOGRAPH) simulate --vehicles 120 --every 30s --seconds 604800 --seed $$seed --faults none --start 2026-0$$((seed - 8))-02T00:00:00Z --out $(TRAINED)/healthy_$$seed.parquet; \
	    $(ODOGRAPH) features export $(TRAINED)/healthy_$$seed.parquet --columns odograph --features @models/fleet_isolation_forest/features.json --out $(TRAINED)/features_$$seed.parquet; \
	    $(ODOGRAPH) features export $(TRAINED)/healthy_$$seed.parquet --columns odograph --features @models/drive_window/features.json --out $(TRAINED)/window_$$seed.parquet; \
	done
	cd training/python; here=../../$(TRAINED); python=../../$(TRAINED)/bin/python; \
	    $$python train_isolation_forest.py --train $$here/features_11.parquet --held-out $$here/features_1[234].parquet \
	        --names ../../models/fleet_isolation_forest/features.json --out ../../models/fleet_isolation_forest/fleet_isolation_forest.onnx; \
	    $$python train_window.py --train $$here/window_11.parquet --held-out $$here/window_1[234].parquet \
	        --window ../../models/drive_window/features.json --out ../../models/drive_window/drive_window.onnx
	$(ODOGRAPH) train $(TRAINED)/healthy_11.parquet $(TRAINED)/healthy_12.parquet $(TRAINED)/healthy_13.parquet $(TRAINED)/healthy_14.parquet \
	    --description "PCA of engine, cooling, air path, battery and tyres against the vehicle's own normal: what does not move together as usual." \
	    --out models/fleet_baseline/fleet_baseline.onnx
	for every in 1s 5s 30s; do \
	    $(ODOGRAPH) features export $(DRIVES)/*.csv.gz --columns kit_obd2 --every $$every --features @models/drive_autoencoder/features.json --out $(TRAINED)/every_$$every.parquet; \
	done
	cd training/python; here=../../$(TRAINED); $$here/bin/python train_autoencoder.py --features $$here/every_1s.parquet $$here/every_5s.parquet \
	    $$here/every_30s.parquet --out ../../models/drive_autoencoder/drive_autoencoder.onnx
	for model in models/*/*.onnx; do $(ODOGRAPH) model check $$model; done

$(TRAINED)/ready: training/python/requirements.txt
	python3.11 -m venv $(TRAINED)
	$(TRAINED)/bin/pip install --quiet --require-hashes -r $<
	touch $@

clean: ## Removes what was built and fetched
	cargo clean
	rm -rf .cache $(WEB)/node_modules $(WEB)/dist/assets $(WEB)/dist/*.gz
