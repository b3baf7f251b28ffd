"""What the Python clients share: they take operations as lines of JSON and answer each with a line.

A request is `{"op": …}` with the operation's own members. The answer is `{"result": …}`, or `{"error": {"type": …,
"message": …}}` where the type is the SDK's own class of the error (and a code, where the class does not tell errors apart).
"""

import asyncio
import json
import sys

# Of the HTTP client that the SDKs are given, in seconds. Its own 5 s are little for a machine that is busy otherwise.
TIMEOUT = 60


def fail(error, kind):
    return {"error": {"type": kind(error), "message": str(error)[:300]}}


async def serve(operations, kind):
    """Answers until the input ends. `kind` names an error as a user of the SDK would tell it."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        try:
            answer = {"result": await operations[request.pop("op")](**request)}
        except Exception as error:  # whatever the SDK raises is the answer
            answer = fail(error, kind)
        print(json.dumps(answer), flush=True)


async def take(events, describe, stop_after):
    """Describes the events of a stream until it ends, or until it is cut after so many chunks."""
    taken, chunks = [], 0
    async for event in events:
        taken.append(describe(event))
        chunks += taken[-1]["kind"] == "artifact"
        if stop_after and chunks == stop_after:
            await events.aclose()
            break
    return taken
