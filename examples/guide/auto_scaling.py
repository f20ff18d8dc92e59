# SPDX-License-Identifier: Apache-2.0
"""The guide, "Auto-Scaling Strategy": its decisions, and what tandem.guide.AutoScaler does then."""
import asyncio

from tandem import Pipeline, guide


# As printed in the guide.
class AutoScaler:
    async def scale_decision(self, metrics):
        if metrics["latency_p95"] > 10:  # ms
            # Scale out: Add more ANE workers
            await self.add_ane_workers(2)

        elif metrics["throughput"] < 200:  # req/sec
            # Scale up: Increase batch sizes for Metal
            await self.optimize_batching()

        elif metrics["queue_depth"] > 20:
            # Emergency scaling: Use all available backends
            await self.enable_all_backends()


class Scaler(AutoScaler, guide.AutoScaler):
    """The printed decision; what carries it out, and serves, comes from the package."""


async def main():
    async with Pipeline() as pipeline:
        scaler = Scaler(pipeline)
        requests = [guide.Request(f"Request number {i}", "urgent" if i % 5 == 0 else "standard")
                    for i in range(200)]
        print(f"at first: {scaler.ane_workers} worker, lists of {scaler.metal_batch}")
        for _ in range(3):
            vectors = await scaler.run(requests)
            measured = scaler.monitor.metrics()
            await scaler.scale_decision(measured)
            print(f"{len(vectors)} served, p95 {measured['latency_p95']:.1f} ms, "
                  f"{measured['throughput']:.0f} requests/s: {scaler.ane_workers} workers, "
                  f"lists of {scaler.metal_batch}")
        await scaler.scale_decision({"latency_p95": 4, "throughput": 400, "queue_depth": 30})
        print(f"a queue of 30: {', '.join(scaler.backends)} as well")


asyncio.run(main())
