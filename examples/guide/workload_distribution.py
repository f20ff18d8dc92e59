# SPDX-License-Identifier: Apache-2.0
"""The guide, "Intelligent Workload Distribution": its rule, then the requests it sends."""
import asyncio

from tandem import Pipeline


# As printed in the guide.
def select_backend(request_type, batch_size, priority):
    if priority == "real_time":
        return "ane"          # Sub-3ms latency
    elif batch_size > 10:
        return "metal"        # GPU parallelization
    else:
        return "auto"         # Dynamic selection


async def main():
    async with Pipeline() as pipeline:
        for priority, texts in (("real_time", ["Where is my order?"]),
                                ("standard", [f"Document number {i}." for i in range(20)]),
                                ("background", ["Last month's report."])):
            backend = select_backend("embedding", len(texts), priority)
            result = await pipeline.infer(texts, backend=backend, priority=priority, details=True)
            print(f"{priority}, {len(texts)} texts: {backend}; served by {result.lane}, "
                  f"{result.reason}")


asyncio.run(main())
