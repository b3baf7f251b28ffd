"""The PraisonAI acceptance run: praisonaiagents' own A2AClient, and raw requests of its dialect, against a gateway.

Every check runs on both doors of the dialect: the common one (/a2a), which guesses the dialect from the request, and
/praisonai, which does not need to. Where a request bears no mark of the dialect (an unknown task's id, an empty
message/send), only the second must answer in the dialect's own words.
"""

import asyncio
import json
import sys
import traceback
import uuid

import aiohttp
from praisonaiagents.ui.a2a.types import AgentCard

import push  # adds its checks
from harness import (
    CHECKS,
    LIMIT,
    UNKNOWN_TASK,
    Door,
    SubmittingClient,
    check,
    equal,
    finished,
    holds,
    is_error,
    is_task,
    running_gateway,
)


def text_of(artifacts):
    return "".join(part["text"] for artifact in artifacts for part in artifact["parts"])


def is_card(card, door):
    """A parsed card, and what the dialect needs of it."""
    holds(card.name and card.version, "the card has a name and a version")
    if door.dialect_is_known:
        holds(card.url.startswith(door.origin) and card.url.endswith("/a2a"), f"url: {card.url}")
    else:
        equal(card.url, f"{door.origin}/a2a", "url")
    equal(card.capabilities.streaming, True, "capabilities.streaming")
    equal(card.capabilities.push_notifications, True, "capabilities.pushNotifications")


@check
async def agent_card(door, client):
    is_card(await client.get_agent_card(), door)


@check
async def extended_card(door, client):
    is_card(AgentCard(**(await client.get_extended_card())["result"]), door)


@check
async def send_and_wait(door, client):
    answer = await client.send_message("hello", context_id=f"ctx-{door.name}", message_id="msg-1")
    task = answer["result"]
    equal(is_task(task), "completed", "state")
    equal(text_of(task["artifacts"]), "Echo: hello", "artifact")
    equal(task["contextId"], f"ctx-{door.name}", "contextId")
    first = task["history"][0]
    equal((first["role"], first["messageId"]), ("user", "msg-1"), "first message of the history")
    equal(first["parts"][0]["text"], "hello", "text of the first message")
    equal((await client.get_task(task["id"]))["result"], task, "the same task, read again")


@check
async def submit_and_poll(door, client):
    for key in ("returnImmediately", "return_immediately"):
        task = (await client.submit("slow: 3", key))["result"]
        holds(is_task(task) in ("submitted", "working"), f"state: {task['status']}")
        equal(task["history"][0]["parts"][0]["text"], "slow: 3", "text of the first message")
        done = await finished(client, task["id"])
        equal(done["status"]["state"], "completed", "state")
        holds(text_of(done["artifacts"]), "the artifacts have text")


@check
async def failing_task(door, client):
    task = (await client.send_message("fail: it broke"))["result"]
    equal(is_task(task), "failed", "state")
    # The client formats this on failure.
    str(task["status"].get("message", ""))


@check
async def task_that_needs_input(door, client):
    task = (await client.send_message("ask: which one?"))["result"]
    equal(is_task(task), "input_required", "state")


@check
async def direct_reply(door, client):
    # The dialect has no bare messages: an agent's direct reply is a task that has completed.
    task = (await client.send_message("message: pong"))["result"]
    equal(is_task(task), "completed", "state")


@check
async def cancel_running_task(door, client):
    task = (await client.submit("slow: 50"))["result"]
    for _ in ("first", "again"):
        canceled = (await client.cancel_task(task["id"]))["result"]
        equal(canceled["id"], task["id"], "id")
        equal(is_task(canceled), "cancelled", "state")
    equal((await finished(client, task["id"]))["status"]["state"], "cancelled", "state when read")


@check
async def cancel_finished_task(door, client):
    task = (await client.send_message("hello"))["result"]
    is_error(await client.cancel_task(task["id"]), -32002, "Task not cancelable: already completed")


@check
async def list_tasks(door, client):
    context = f"ctx-{uuid.uuid4()}"
    sent = [(await client.send_message(text, context_id=context))["result"]["id"] for text in ("one", "two")]
    listed = (await client.list_tasks(context))["result"]
    holds(isinstance(listed, list), "result is an array")
    equal(sorted(task["id"] for task in listed), sorted(sent), "ids")
    for task in listed:
        equal(task["contextId"], context, "contextId")
        equal(is_task(task), "completed", "state")
    everything = (await client.list_tasks())["result"]
    holds(set(sent) <= {task["id"] for task in everything}, "without a context, all tasks")
    equal((await client.list_tasks(f"ctx-{uuid.uuid4()}"))["result"], [], "tasks of a new context")


@check
async def stream_with_the_client(door, client):
    events = [event async for event in client.send_message_streaming("hello", context_id="ctx-stream")]
    equal(events.pop(), {}, "the data of the last event")
    equal({event["taskId"] for event in events} - {events[0]["taskId"]}, set(), "other task ids")
    equal({event["contextId"] for event in events}, {"ctx-stream"}, "context ids")
    states = [(event["status"]["state"], event["final"]) for event in events if "status" in event]
    equal(states[-1], ("completed", True), "last status")
    holds(("working", False) in states, f"a working status: {states}")
    equal([final for _, final in states[:-1]].count(True), 0, "earlier statuses that claim to be final")
    holds("status" in events[-1], "nothing but done follows the final status")
    artifacts = [event for event in events if "artifact" in event]
    equal(text_of(event["artifact"] for event in artifacts), "Echo: hello", "artifact")
    for event in artifacts:
        holds(event["artifact"]["artifactId"], "the artifact has an id")
        holds(isinstance(event["append"], bool) and isinstance(event["lastChunk"], bool), f"flags: {event}")


@check
async def stream_on_the_wire(door, client):
    events = parse_stream(await door.stream("slow: 3"))
    names = [name for name, _ in events]
    equal(set(names), {"task.status", "task.artifact", "done"}, "event names")
    equal(events[-1], ("done", {}), "last event")
    equal(names.count("done"), 1, "done events")
    for name, data in events[:-1]:
        member = name.removeprefix("task.")
        holds(member in data and "jsonrpc" not in data, f"a bare {name} event: {data}")
    chunks = [data for name, data in events if name == "task.artifact"]
    holds(len(chunks) >= 3, f"several chunks: {chunks}")
    equal([chunk["append"] for chunk in chunks], [False] + [True] * (len(chunks) - 1), "append")


@check
async def stream_of_a_failing_task(door, client):
    events = parse_stream(await door.stream("fail: it broke"))
    equal([name for name, _ in events if name == "task.artifact"], [], "artifact events")
    name, last = events[-2]
    equal((name, last["status"]["state"], last["final"]), ("task.status", "failed", True), "last status")
    equal(events[-1], ("done", {}), "last event")


def parse_stream(body):
    """The events of a stream as (name, data); the dialect's readers split at LF only and need both lines."""
    holds(b"\r" not in body, "lines end with LF")
    holds(body.endswith(b"\n\n"), f"the stream ends with an empty line: {body[-40:]}")
    events = []
    for block in body.decode().strip("\n").split("\n\n"):
        fields = [line.split(":", 1) for line in block.split("\n") if not line.startswith(":")]
        fields = [(name, value.removeprefix(" ")) for name, value in fields]
        named = dict(fields)
        equal(len(named), len(fields), f"fields of {block!r}")
        events.append((named["event"], json.loads(named["data"])))
    return events


@check
async def ids_are_echoed_with_their_type(door, client):
    for request_id in ("1", 1, str(uuid.uuid4())):
        answer = await door.call("tasks/list", {}, request_id)
        equal((answer["id"], type(answer["id"])), (request_id, type(request_id)), "id")


@check
async def body_that_is_not_json(door, client):
    status, _, body = await door.post(b"not json")
    equal(status, 200, "HTTP status")
    answer = json.loads(body)
    is_error(answer, -32700)
    holds("id" in answer and answer["id"] is None, f"id is null: {answer}")


@check
async def wrong_jsonrpc_version(door, client):
    is_error(await door.call("tasks/list", {}, version="1.0"), -32600)


@check
async def unknown_method(door, client):
    is_error(await door.call("nope", {}), -32601, "Method not found: nope")


@check
async def send_without_message(door, client):
    answer = await door.call("message/send", {})
    if door.dialect_is_known:
        is_error(answer, -32602, "Invalid params: 'message' required")
    else:
        equal(answer["error"]["code"], -32602, "code")
        holds("message" in answer["error"]["message"], f"the field is named: {answer}")


@check
async def unknown_task(door, client):
    if door.dialect_is_known:
        is_error(await client.get_task(UNKNOWN_TASK), -32000, f"Task not found: {UNKNOWN_TASK}")
        is_error(await client.cancel_task(UNKNOWN_TASK), -32000, f"Task not found: {UNKNOWN_TASK}")
    else:
        # No mark and no task to remember the dialect: 0.3's code for the same is as good.
        for answer in (await client.get_task(UNKNOWN_TASK), await client.cancel_task(UNKNOWN_TASK)):
            holds(answer["error"]["code"] in (-32000, -32001), f"not found: {answer}")


@check
async def status_page(door, client):
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"{door.origin}/status") as response:
            equal(response.status, 200, "HTTP status")
            status = await response.json()
    equal(status["status"], "ok", "status")
    holds(status["name"] and status["version"], f"name and version: {status}")


async def run_checks(origin, binary):
    """Runs every check on every door; returns how many passed and failed."""
    passed = failed = 0
    for door in (Door(origin, "", binary), Door(origin, "/praisonai", binary)):
        for function in CHECKS:
            name = f"{function.__name__} at {door.name}"
            async with SubmittingClient(door.base, timeout=LIMIT) as client:
                try:
                    await asyncio.wait_for(function(door, client), 2 * LIMIT)
                except Exception as error:  # any failure of a check is that check's, and the next ones still run
                    failed += 1
                    print(f"FAILED {name}: {type(error).__name__}: {error}")
                    if not isinstance(error, AssertionError):
                        traceback.print_exc(file=sys.stdout)
                else:
                    passed += 1
                    print(f"passed {name}")
    return passed, failed


def main():
    try:
        with running_gateway(sys.argv[1]) as origin:
            passed, failed = asyncio.run(run_checks(origin, sys.argv[1]))
    except (OSError, RuntimeError) as error:
        print(f"FAILED: {error}")
        passed, failed = 0, 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
