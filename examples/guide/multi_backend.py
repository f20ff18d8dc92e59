# SPDX-License-Identifier: Apache-2.0
"""The guide, "Multi-Backend Pipeline": one pipeline, a backend a kind of work."""
import asyncio

from tandem import AppleSiliconLLMPipeline

text = "How do I reset my password?"
batch = ["The invoice is attached.", "The parcel has arrived.", "The meeting is at noon."]


async def main():
    # As printed in the guide.
    # Automatic backend selection based on workload
    pipeline = AppleSiliconLLMPipeline()

    # Ultra-low latency (real-time chat, search)
    result = await pipeline.infer(text, backend="ane")        # 2.7ms

    # High throughput (batch processing)
    result = await pipeline.infer(batch, backend="metal")     # 4.7ms per item

    # Cost optimization (background tasks)
    result = await pipeline.infer(text, backend="cpu")        # 11.4ms
    # What it needs to show something.
    print(f"the last result: {result.shape}, {result.dtype}")
    for name, backend in pipeline.available_backends.items():
        print(f"{name}: {'available' if backend['available'] else backend['reason']}")
    details = await pipeline.infer(text, backend="ane", details=True)
    print(f"asked for ane, served by {details.lane}: {details.reason}")
    await pipeline.aclose()


asyncio.run(main())
