# SPDX-License-Identifier: Apache-2.0
"""The guide, "Memory Pressure": the length by the memory that is free, used for a long text."""
import asyncio

import tandem


# Solution: Dynamic sequence length adjustment
def adjust_sequence_length(available_memory_gb):
    if available_memory_gb < 8:
        return 256   # Reduce sequence length
    elif available_memory_gb < 16:
        return 512   # Standard length
    else:
        return 1024  # Maximum length


async def main():
    free = tandem.machine().memory_available_bytes
    gigabytes = float("inf") if free is None else free / 2**30
    long_text = "A sentence of a very long document. " * 200
    async with tandem.Pipeline() as pipeline:
        for memory in (4, 12, gigabytes):
            length = adjust_sequence_length(memory)
            result = await pipeline.infer(long_text, max_length=length, details=True)
            print(f"{memory:.0f} GB: max_length {length}, {result.tokens} tokens computed, "
                  f"{'cut' if result.truncated else 'whole'}")


asyncio.run(main())
