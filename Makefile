# SPDX-License-Identifier: Apache-2.0
# A thin front over the CMake presets.
.PHONY: all
all:
	cmake --preset release && cmake --build --preset release
