"""What a message tells the agents of this test to do, and what they are started with: the same for each of them.

| message | what it does |
|---|---|
| `slow: N` | N chunks of an artifact, PAUSE apart |
| `ask: Q` | asks Q and waits for input; the task's next message is then obeyed |
| `fail: WHY` | fails with that message |
| `message: TEXT` | replies with a message instead of a task |
| anything else | an artifact `Echo: <text>` |
"""

import argparse

# Between two chunks, in seconds.
PAUSE = 0.1
# How a task ends that was under way when an agent with a store was stopped.
INTERRUPTED = "the agent was restarted"
# What an agent prints when it is told to cancel a task.
CANCELED = "told to cancel"
WORDS = ("slow", "ask", "fail", "message")


def parse(text):
    """The directive of a text and what belongs to it: a number for `slow`, else a text."""
    word, colon, rest = text.partition(":")
    word, rest = word.strip().lower(), rest.strip()
    if not colon or word not in WORDS or (word == "slow" and not rest.isdigit()):
        return "echo", text
    return word, int(rest) if word == "slow" else rest


def chunks(count):
    """The texts of `slow: count`."""
    return [f"chunk {number}/{count}\n" for number in range(1, count + 1)]


def arguments():
    """How each agent is started."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binding", choices=("jsonrpc", "grpc", "rest"), default="jsonrpc")
    parser.add_argument("--port", type=int, required=True, help="where the card is served, and what is not gRPC")
    parser.add_argument("--grpc-port", type=int, help="where gRPC is served")
    parser.add_argument("--store", help="a file to keep the tasks in; without it they are forgotten at the end")
    return parser.parse_args()
