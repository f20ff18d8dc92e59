# SPDX-License-Identifier: Apache-2.0
"""The guide, "Memory Management": its limits, kept by tandem.guide.MemoryOptimizer."""
import asyncio

from tandem import Pipeline, guide


# Efficient memory usage for Apple Silicon
class MemoryOptimizer:
    def __init__(self):
        # Use unified memory architecture
        self.max_sequence_length = 512
        self.batch_size_limits = {
            "ane": 1,      # ANE optimized for single inference
            "metal": 32,   # GPU benefits from larger batches
            "cpu": 8       # CPU balanced batching
        }


class Optimizer(guide.MemoryOptimizer):
    """The printed limits; infer, which keeps them, comes from the package."""

    def __init__(self, pipeline):
        super().__init__(pipeline)
        MemoryOptimizer.__init__(self)


async def main():
    async with Pipeline() as pipeline:
        optimizer = Optimizer(pipeline)
        texts = [f"Text number {i}." for i in range(70)]
        for backend, limit in optimizer.batch_size_limits.items():
            vectors = await optimizer.infer(texts[:2 * limit + 3], backend=backend)
            print(f"{backend}: {len(vectors)} texts, {limit} at a time, "
                  f"at most {optimizer.max_length()} tokens")


asyncio.run(main())
