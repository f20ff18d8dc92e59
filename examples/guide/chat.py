# SPDX-License-Identifier: Apache-2.0
"""The guide, "Real-time chat example". An encoder writes no text: the response is the best of
the answers that tandem.guide was given."""
import asyncio

from tandem import Pipeline, guide
from tandem.guide import generate_response

pipeline = Pipeline()
guide.use(pipeline, answers={
    "I forgot my password": "You can set a new password at the sign-in page.",
    "Where is my order?": "The tracking link in your mail shows where the parcel is.",
    "I want my money back": "We refund every purchase within 30 days."})


# As printed in the guide.
# Real-time chat example
async def chat_response(user_message):
    embedding = await pipeline.infer(
        text=user_message,
        backend="ane",          # Ultra-low latency
        max_length=256
    )
    # Process embedding for response generation
    return generate_response(embedding)


async def main():
    for message in ("I can't remember my login", "My parcel has not come yet"):
        print(f"{message}: {await chat_response(message)}")
    await pipeline.aclose()


asyncio.run(main())
