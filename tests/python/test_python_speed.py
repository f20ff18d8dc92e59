#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Python adds to the C calls, for one text: the same text, in the same process, by turns.

    infer_sync  over tandem_engine_infer                  at most 30 us at the median
    await infer over tandem_queue_submit, poll and next   at most 100 us at the median

Printed as measured; the test allows four times as much, because other work may run beside it.
TANDEM_PYTHON_ROUNDS sets the rounds (400)."""
import os
import select
import statistics
import time
import unittest

from python_case import TEXTS, Case, run
from tandem._native import ffi, lib
from tandem.requests import Prepared, check
from tandem.results import new_result

ROUNDS = int(os.environ.get("TANDEM_PYTHON_ROUNDS", 400))
SYNC_US, AWAIT_US, SLACK = 30, 100, 4


class Speed(Case):
    def setUp(self):
        self.engine = self.pipeline._shelf.choose("embed", None).open()
        self.prepared = Prepared([TEXTS[0]], None, check(), 512)
        self.err = ffi.new("tandem_error *")

    def judge(self, name, with_python, plain, limit_us):
        over = (statistics.median(with_python) - statistics.median(plain)) / 1e3
        print(f"{name}: C {statistics.median(plain) / 1e3:.1f} us, Python "
              f"{statistics.median(with_python) / 1e3:.1f} us, difference {over:.1f} us, "
              f"at most {limit_us}")
        self.assertLess(over, limit_us * SLACK)

    def test_blocking(self):
        result, request, handle = new_result(), self.prepared.request, self.engine.handle
        plain, with_python = [], []
        infer_sync, infer, text = self.pipeline.infer_sync, lib.tandem_engine_infer, TEXTS[0]
        for _ in range(ROUNDS):
            start = time.perf_counter_ns()
            infer(handle, request, result, self.err)
            between = time.perf_counter_ns()
            infer_sync(text)
            with_python.append(time.perf_counter_ns() - between)
            plain.append(between - start)
        self.judge("infer_sync", with_python, plain, SYNC_US)

    def test_await(self):
        queue, call = ffi.new("tandem_queue **"), ffi.new("tandem_call **")
        self.assertEqual(lib.tandem_queue_open(queue, self.err), 0)
        queue = queue[0]
        poll = select.poll()
        poll.register(lib.tandem_queue_fd(queue), select.POLLIN)
        request, handle = self.prepared.request, self.engine.handle

        def plain_call():
            lib.tandem_queue_submit(queue, handle, request, ffi.NULL, call, ffi.NULL, self.err)
            poll.poll()
            lib.tandem_call_close(lib.tandem_queue_next(queue))

        async def main():
            plain, with_python = [], []
            infer, text = self.pipeline.infer, TEXTS[0]
            for _ in range(ROUNDS):
                start = time.perf_counter_ns()
                plain_call()
                between = time.perf_counter_ns()
                await infer(text)
                with_python.append(time.perf_counter_ns() - between)
                plain.append(between - start)
            return plain, with_python
        plain, with_python = run(main())
        lib.tandem_queue_close(queue)
        self.judge("await infer", with_python, plain, AWAIT_US)


if __name__ == "__main__":
    unittest.main()
