# SPDX-License-Identifier: Apache-2.0
"""The guide, "Request Batching & Queuing": its class; what processes the two groups comes from
tandem.guide.BatchOptimizer, whose own grouping loses no request."""
import asyncio

from tandem import Pipeline, guide


# As printed in the guide.
class BatchOptimizer:
    async def optimize_batching(self, requests):
        # Group requests by backend preference
        ane_requests = [r for r in requests if r.priority == "urgent"]
        metal_requests = [r for r in requests if r.batch_size > 1]

        # Process concurrently across backends
        results = await asyncio.gather(
            self.process_ane_batch(ane_requests),
            self.process_metal_batch(metal_requests),
            return_exceptions=True
        )

        return results


class Optimizer(BatchOptimizer, guide.BatchOptimizer):
    """The printed grouping; process_ane_batch and process_metal_batch come from the package."""


async def main():
    async with Pipeline() as pipeline:
        requests = [guide.Request("Help, now!", "urgent"), guide.Request(["one", "two", "three"]),
                    guide.Request("The system is down", "urgent"), guide.Request(["four", "five"])]
        urgent, batches = await Optimizer(pipeline).optimize_batching(requests)
        print(f"urgent: {[vector.shape for vector in urgent]}")
        print(f"batches: {[vectors.shape for vectors in batches]}")
        whole = await guide.BatchOptimizer(pipeline).optimize_batching(
            requests + [guide.Request("neither urgent nor a batch")])
        print(f"each once, in order: {[vectors.shape for vectors in whole]}")


asyncio.run(main())
