# SPDX-License-Identifier: Apache-2.0
"""The guide, "ANE Backend Unavailable". Nothing else is needed for a machine without one: a lane
that is missing is replaced by the next of its class, and the answer says so."""
import asyncio
import logging

from tandem import Pipeline

logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
logger = logging.getLogger("example")
text = "Is the Neural Engine there?"


async def main():
    pipeline = Pipeline()
    # As printed in the guide.
    # Solution: Graceful fallback to Metal GPU
    if not pipeline.available_backends["ane"]["available"]:
        logger.warning("ANE unavailable, using Metal GPU")
        result = await pipeline.infer(text, backend="metal")
    details = await pipeline.infer(text, backend="ane", details=True)
    print(f"served by {details.lane}: {details.reason}")
    print(f"its reason: {pipeline.available_backends['ane']['reason']}")
    await pipeline.aclose()


asyncio.run(main())
