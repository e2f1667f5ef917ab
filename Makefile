# The commands of the README. Everything is built under build/.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: build test demo bench mmoe-experiment faults sanitize movielens pages format format-check tidy headers install-packages configure

JOBS ?= $(shell nproc)
BUILD := build/release
SOURCES = $(shell git ls-files '*.h' '*.cc')

# The program: build/release/millrace.
build: configure
	@cmake --build --preset release --target millrace -j $(JOBS)

# Everything is built and all tests run, those against a real Apache Kafka included.
test: configure
	@cmake --build --preset release --target all all_verify_interface_header_sets -j $(JOBS)
	@ctest --preset release -j 2 --output-junit $(CURDIR)/$(BUILD)/tests.xml

# Simulated users, the daemon and its API, until Ctrl-C; `make demo SECONDS=30` ends by itself.
demo: build
	@$(BUILD)/millrace demo $(if $(SECONDS),--seconds $(SECONDS))

# Performance, each figure beside a peer's or a limit's of the same run.
bench: build
	@tests/bench/bench.sh

# MMoE's synthetic experiment: backbones on two regressions, the less related the smaller p is.
# Minutes; some arguments: make mmoe-experiment ARGUMENTS='--seeds 3'.
mmoe-experiment: configure
	@cmake --build --preset release --target mmoe_experiment -j $(JOBS)
	@$(BUILD)/tests/bench/mmoe_experiment --threads $(JOBS) $(ARGUMENTS)

# Faults in their long form: about half an hour; ends with a table and build/faults.json. Some
# alone: make faults FAULTS='FaultsKill.*'.
faults: configure
	@cmake --build --preset release --target integration_test -j $(JOBS)
	@MILLRACE_FAULTS=long $(BUILD)/tests/integration_test --gtest_filter='$(or $(FAULTS),Faults*)' \
	  --gtest_brief=1 --gtest_output=json:$(CURDIR)/build/faults.json || true
	@python3 tests/integration/report_faults.py build/faults.json

# All tests under the sanitizers: of addresses and undefined behaviour, then of threads; about an
# hour. One alone: make sanitize SANITIZERS=tsan; some tests: TESTS='Store*'.
SANITIZERS ?= asan tsan
sanitize: install-packages
	@mkdir -p build; for preset in $(SANITIZERS); do \
	  cmake --preset $$preset >build/configure-$$preset.log && \
	  cmake --build --preset $$preset -j $(JOBS) && \
	  ctest --preset $$preset -j 2 $(if $(TESTS),-R '$(TESTS)') || exit 1; \
	done

# MovieLens-100K through a real Kafka; progressive metrics beside a logistic regression's.
movielens: build
	@tests/movielens/movielens.sh

# The pages that are generated from the code: ops/docs/configuration.md and metrics.md.
pages: configure
	@cmake --build --preset release --target structure_test -j $(JOBS)
	@MILLRACE_WRITE_PAGES=1 $(BUILD)/tests/structure_test --gtest_filter='Documents.*' --gtest_brief=1

format:
	@clang-format -i $(SOURCES)

format-check:
	@clang-format --dry-run --Werror $(SOURCES)

tidy: configure
	@sed -n 's|^ *"file": "\(.*\.cc\)".*|\1|p' $(BUILD)/compile_commands.json | grep -v /build/ | sort -u | \
	  xargs -P $(JOBS) -n 1 clang-tidy -p $(BUILD) --quiet 2>&1 | \
	  { grep -v 'warnings\? generated\.$$' || true; }

# Every public header compiles by itself.
headers: configure
	@cmake --build --preset release --target all_verify_interface_header_sets -j $(JOBS)

configure: install-packages
	@mkdir -p build && cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

# Debian packages that are missing; needs root only where one is.
install-packages:
	@tests/support/install_packages.sh packages.txt
