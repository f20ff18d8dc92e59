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
        for percent in (None, 70):  # as the machine is, then as if it were hot
            pipeline.set_speed_limit(percent)
            while percent is not None and get_thermal_state() != percent:
                await asyncio.sleep(0.01)  # until the engine has looked
            vectors = await thermal_aware_processing(requests)
            lanes = [name for name, lane in pipeline.metrics()["lanes"].items() if lane["texts"]]
            print(f"speed limit {get_thermal_state()} %: {len(vectors)} vectors, "
                  f"lanes that served: {', '.join(lanes)}")


asyncio.run(main())
