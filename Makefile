# SPDX-License-Identifier: Apache-2.0
# A thin front: every target is one script of tools/ or one CMake preset. `make help` lists them.
.PHONY: all demo test test-all check bench bench-peers bench-server format tidy asan tsan fuzz \
	coverage install deb setup model clean help

PREFIX ?= /usr/local

all: ## release build, in build/release
	@tools/build.sh release

demo: ## install what is missing, build, get the model, embed, measure
	@tools/demo.sh

test: ## every test that fits ten minutes on two cores; sanitizers and fuzzing included
	@tools/test.sh

test-all: ## the same and the long ones
	@tools/test.sh --all

check: ## fast tests only (unit, kernels, golden), under two minutes
	@tools/test.sh --fast

bench: ## latency of the default shape, and of the kernels
	@tools/bench.sh

bench-peers: ## tandem beside sentence-transformers and ONNX Runtime [STSB=stsb-en-test.csv]
	@tools/bench_peers.sh $(if $(STSB),"$(STSB)")

bench-server: ## tandem serve's rates and times, beside infinity [STSB=stsb-en-test.csv]
	@tools/bench_server.sh $(if $(STSB),"$(STSB)")

format: ## clang-format over every C file
	@tools/tidy --format

tidy: ## the rules of STYLE.md
	@tools/tidy

asan: ## tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/build.sh dev && ctest --preset dev -LE long

tsan: ## tests of threads under ThreadSanitizer
	@tools/build.sh tsan && ctest --preset tsan -L threads

fuzz: ## every libFuzzer target for SECONDS_EACH (30)
	@tools/fuzz.sh $(SECONDS_EACH)

coverage: ## lines of the parsers that the fuzz corpora reach
	@tools/fuzz_coverage.sh

install: all ## library, headers, program; PREFIX=/usr/local, DESTDIR=
	@cmake --install build/release --prefix "$(PREFIX)"

deb: ## Debian packages of this tree, in build/deb
	@tools/deb.sh

setup: ## install the packages that building and testing need
	@tools/setup.sh test

model: ## get the default model into the Hub's cache
	@tools/fetch_model.sh

clean: ## remove every build
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1: \2/p' Makefile
