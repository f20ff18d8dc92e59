# SPDX-License-Identifier: Apache-2.0
"""The extension is built by cffi (native_build.py) against a checkout's release build, and what is
made on the way goes into that build's folder: the source tree stays as it is."""
import os
import pathlib

from setuptools import setup

root = pathlib.Path(__file__).resolve().parents[2]
build = pathlib.Path(os.environ.get("TANDEM_BUILD") or root / "build" / "release")
options = {}
if build.is_dir():  # otherwise native_build.py says what is missing
    (build / "python_build").mkdir(exist_ok=True)
    options = {"build": {"build_base": str(build / "python_build")},
               "egg_info": {"egg_base": str(build / "python_build")}}

setup(cffi_modules=["native_build.py:builder"], options=options)
