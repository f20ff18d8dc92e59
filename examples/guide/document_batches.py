# SPDX-License-Identifier: Apache-2.0
"""The guide, "Batch processing example": documents in batches of 32. MiniLM has positions for the
512 tokens that it asks for."""
import asyncio

from tandem import Pipeline
from tandem.guide import chunk_documents

pipeline = Pipeline()


# As printed in the guide.
# Batch processing example
async def process_document_batch(documents):
    results = []

    # Process in optimized batches for Metal GPU
    for batch in chunk_documents(documents, batch_size=32):
        batch_results = await pipeline.infer(
            text=batch,
            backend="metal",    # High throughput
            max_length=512
        )
        results.extend(batch_results)

    return results


async def main():
    documents = [f"Section {i}. " + "The terms of this contract hold. " * (i % 40)
                 for i in range(100)]
    vectors = await process_document_batch(documents)
    print(f"{len(vectors)} documents, vectors of {len(vectors[0])}")
    await pipeline.aclose()


asyncio.run(main())
