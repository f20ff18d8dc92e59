# SPDX-License-Identifier: Apache-2.0
"""The guide, "Performance Metrics to Track": its targets against what was measured."""
import asyncio

from tandem import Pipeline
from tandem.guide import Monitor, check_targets

# As printed in the guide.
# Key metrics for production monitoring
metrics = {
    "latency_p95": "< 5ms",           # 95th percentile latency
    "throughput": "> 300 req/sec",   # Requests per second
    "backend_utilization": {
        "ane": "< 80%",              # ANE utilization
        "metal": "< 90%",            # Metal GPU utilization
        "cpu": "< 70%"               # CPU utilization
    },
    "error_rate": "< 0.1%",          # Error percentage
    "queue_depth": "< 10"            # Request queue size
}


async def main():
    async with Pipeline() as pipeline:
        monitor = Monitor(pipeline)
        for first in range(0, 400, 4):
            await asyncio.gather(*(monitor.infer(f"Request number {i}", priority="realtime")
                                   for i in range(first, first + 4)))
        for check in check_targets(metrics, monitor.metrics()):
            print(check)
        target = pipeline.metrics()["targets"]["latency_p95_ms"]
        print(f"the engine's own: latency_p95_ms {target['value']:.2f}, limit "
              f"{target['limit']:.0f}: {'met' if target['is_met'] else 'missed'}")


asyncio.run(main())
