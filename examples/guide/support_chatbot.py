# SPDX-License-Identifier: Apache-2.0
"""The guide, "Customer Support Chatbot": what a customer wants, by a classifier that is trained on
the examples in tandem.guide and says how good it is."""
import asyncio
import time

from tandem import Pipeline, guide
from tandem.guide import classify_intent

pipeline = Pipeline()
guide.use(pipeline)


# As printed in the guide.
# Before: PyTorch CPU (40ms latency)
# After: Apple Neural Engine (2.7ms latency)
# Result: 14.8x faster response time

async def handle_customer_query(query):
    start_time = time.time()

    # Ultra-fast intent classification
    intent_embedding = await pipeline.infer(
        text=query,
        backend="ane",
        model_size="small"
    )

    response_time = (time.time() - start_time) * 1000
    # Typical result: 2.7ms vs 40ms previously

    return classify_intent(intent_embedding)


async def main():
    for query in ("I can't log in to my account", "You charged my card two times",
                  "The app closes by itself", "I'd like to send these shoes back"):
        intent = await handle_customer_query(query)
        print(f"{query}: {intent.label} ({intent.probability:.2f}; the classifier is right in "
              f"{intent.accuracy:.0%} by cross-validation)")
    await pipeline.aclose()


asyncio.run(main())
