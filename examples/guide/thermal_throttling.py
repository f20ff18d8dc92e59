# SPDX-License-Identifier: Apache-2.0
"""The guide, "Thermal Throttling": requests are spread over all lanes while the processor is slowed
down by heat."""
import asyncio

from tandem import Pipeline, guide
from tandem.guide import distribute_across_backends, get_thermal_state, process_with_ane


# As printed in the guide.
# Solution: Workload distribution across backends
async def thermal_aware_processing(requests):
    thermal_state = get_thermal_state()

    if thermal_state < 90:  # Thermal throttling detected
        # Distribute load to prevent overheating
        return await distribute_across_backends(requests)
    else:
        # Normal processing with ANE
        return await process_with_ane(requests)


async def main():
    async with Pipeline() as pipeline:
        guide.use(pipeline)
        requests = [f"Request number {i}" for i in range(50)]
        vectors = await thermal_aware_processing(requests)
        print(f"speed limit {get_thermal_state()} %: {len(vectors)} vectors")
        spread = await distribute_across_backends(requests, details=True)
        print(f"spread over {', '.join(sorted({result.lane for result in spread}))}: "
              f"{len(spread)} vectors")


asyncio.run(main())
