# SPDX-License-Identifier: Apache-2.0
"""The guide, "Document Processing Pipeline". max_length=1024 is more than MiniLM has positions for:
longer documents are read whole, in windows."""
import asyncio

from tandem import Pipeline
from tandem.guide import process_embeddings_batch

pipeline = Pipeline()


# As printed in the guide.
# Before: 1000 documents in 40 seconds (CPU)
# After: 1000 documents in 4.7 seconds (Metal GPU)
# Result: 8.5x faster batch processing

async def process_document_pipeline(documents):
    # Batch process for maximum throughput
    embeddings = await pipeline.infer(
        text=documents,
        backend="metal",  # Optimized for batch throughput
        max_length=1024   # Handle longer documents
    )

    # Parallel post-processing
    return await process_embeddings_batch(embeddings)


async def main():
    documents = ["The contract ends in May.", "Our cat likes fish.",
                 "This agreement terminates in spring.", "A long report. " * 300]
    for one in await process_document_pipeline(documents):
        print(f"document {one.index}: most like document {one.nearest} ({one.similarity:.2f})")
    await pipeline.aclose()


asyncio.run(main())
