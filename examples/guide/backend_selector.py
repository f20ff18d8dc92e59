# SPDX-License-Identifier: Apache-2.0
"""The guide, "Dynamic Backend Selection": its class, with the sizes of the queues kept by
tandem.guide.SmartBackendSelector, over a real pipeline."""
import asyncio
import collections

from tandem import Pipeline, guide


# As printed in the guide.
class SmartBackendSelector:
    def __init__(self):
        self.ane_queue_size = 0
        self.metal_queue_size = 0

    def select_backend(self, request):
        # Route based on current load
        if request.priority == "urgent" and self.ane_queue_size < 5:
            return "ane"
        elif request.batch_size > 1:
            return "metal"
        else:
            return "cpu"


class CountingSelector(SmartBackendSelector, guide.SmartBackendSelector):
    """The printed rule; infer, which counts, comes from the package."""

    def __init__(self, pipeline):
        guide.SmartBackendSelector.__init__(self, pipeline)

    def select_backend(self, request):
        backend = super().select_backend(request)
        chosen[request.priority, request.batch_size, backend] += 1
        return backend


chosen = collections.Counter()


async def main():
    async with Pipeline() as pipeline:
        selector = CountingSelector(pipeline)
        requests = [guide.Request(f"Urgent message {i}", "urgent") for i in range(8)]
        requests += [guide.Request(["one", "two", "three"]), guide.Request("no hurry")]
        await asyncio.gather(*(selector.infer(request) for request in requests))
        for (priority, size, backend), count in chosen.items():
            print(f"{count} requests, {priority}, {size} texts: {backend}")
        print(f"left in the queues: {selector.ane_queue_size + selector.metal_queue_size}")


asyncio.run(main())
