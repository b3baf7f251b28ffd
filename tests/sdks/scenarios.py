"""What every client is put through on every binding, over the gateway's built-in agent.

Tasks and events are as python/client_py1.py describes them: an event is a task, a status, an artifact (a chunk) or a
message by its `kind`.
"""

import functools
import time
import uuid

from clients import Refused
from receiver import LIMIT, PAUSE

SETTLED = ("completed", "failed", "canceled", "rejected")
SKILLS = ["echo", "slow", "burst", "ask", "fail", "message"]
SCENARIOS = {}


def scenario(name):
    def named(function):
        SCENARIOS[name] = function
        return function

    return named


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(actual, expected, what):
    holds(actual == expected, f"{what}: {actual!r} instead of {expected!r}")


def chunks(count):
    return [f"chunk {i + 1}/{count}\n" for i in range(count)]


def new():
    return str(uuid.uuid4())


def send(client, text, **more):
    return client.call("send", text=text, messageId=new(), **more)


def until(client, task_id, enough, what):
    """Polls a task until something holds of it."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        task = client.call("get", id=task_id)
        if enough(task):
            return task
        time.sleep(PAUSE)
    raise AssertionError(f"not {what} within {LIMIT} s: {task}")


def settled(client, task_id):
    return until(client, task_id, lambda task: task["state"] in SETTLED, "settled")


def is_task(task, state, *artifacts):
    """A task in a state with these artifacts, each a list of texts."""
    equal(task["kind"], "task", f"kind of {task}")
    equal(task["state"], state, f"state of {task}")
    holds(task["id"] and task["contextId"], f"the task has its ids: {task}")
    equal([artifact["parts"] for artifact in task["artifacts"]], list(artifacts), "artifacts")


def follows(events, task):
    """Updates of this task."""
    for event in events:
        equal((event["taskId"], event["contextId"]), (task["id"], task["contextId"]), f"ids of {event}")


def artifact_of(events):
    """The chunks that the events of a stream carry, a leading task's among them."""
    parts = []
    for event in events:
        if event["kind"] == "task":
            parts = [part for artifact in event["artifacts"] for part in artifact["parts"]]
        elif event["kind"] == "artifact":
            # None: the SDK drops it.
            parts = ([] if event["append"] is False else parts) + event["parts"]
    return parts


@scenario("card")
def card(client, _):
    about = client.call("card")
    equal(about, {"name": "echo", "skills": SKILLS, "streaming": True, "push": True}, "card")


@scenario("blocking")
def blocking(client, _):
    message = new()
    task = client.call("send", text="hello", messageId=message)
    is_task(task, "completed", ["Echo: hello"])
    equal(task["history"], [{"id": message, "role": "user", "text": "hello"}], "history")
    equal(client.call("get", id=task["id"]), task, "the task when it is read")


@scenario("polling")
def polling(client, _):
    task = send(client, "slow: 4", wait=False)
    holds(task["state"] in ("submitted", "working"), f"not waited for: {task}")
    done = settled(client, task["id"])
    is_task(done, "completed", chunks(4))
    equal((done["id"], done["contextId"]), (task["id"], task["contextId"]), "ids")


@scenario("stream")
def stream(client, _):
    task, *updates = client.call("stream", text="slow: 4", messageId=new())
    equal([event["kind"] for event in updates], ["status"] + ["artifact"] * 4 + ["status"], f"kinds of {updates}")
    is_task(task, "submitted")
    follows(updates, task)
    working, *parts, completed = updates
    equal((working["state"], completed["state"]), ("working", "completed"), "states")
    appends = [None] * 4 if client.sdk.drops(client.binding, "append") else [False, True, True, True]
    equal([part["append"] for part in parts], appends, "append")
    equal([part["last"] for part in parts], [False, False, False, True], "last chunk")
    equal({part["artifactId"] for part in parts}, {"echo-1"}, "artifact")
    equal(artifact_of(parts), chunks(4), "chunks")
    is_task(client.call("get", id=task["id"]), "completed", chunks(4))


@scenario("resubscribe")
def resubscribe(client, _):
    task, *updates = client.call("stream", text="slow: 12", messageId=new(), stopAfter=3)
    equal(artifact_of(updates), chunks(12)[:3], "chunks before the cut")
    # Something is missed meanwhile: the task goes on without its client.
    missed = lambda now: now["artifacts"] and len(now["artifacts"][0]["parts"]) >= 5
    until(client, task["id"], missed, "further on")
    first, *rest = client.call("subscribe", id=task["id"])
    is_task(first, "working", artifact_of([first]))
    equal(first["id"], task["id"], "task")
    holds(5 <= len(artifact_of([first])) < 12, f"what was missed, and not yet all: {first}")
    follows(rest, task)
    equal(artifact_of([first, *rest]), chunks(12), "all chunks, without gap or duplicate")
    equal((rest[-1]["kind"], rest[-1]["state"]), ("status", "completed"), "the last event")


@scenario("cancel")
def cancel(client, _):
    task = send(client, "slow: 500", wait=False)
    canceled = client.call("cancel", id=task["id"])
    equal((canceled["id"], canceled["state"]), (task["id"], "canceled"), "the canceled task")
    equal(client.call("get", id=task["id"])["state"], "canceled", "state")


@scenario("list")
def list_tasks(client, _):
    client.needs("list")
    first = send(client, "one")
    second, third = (send(client, text, contextId=first["contextId"]) for text in ("two", "three"))
    asked = {"contextId": first["contextId"], "pageSize": 2}
    page = client.call("list", **asked)
    equal([task["id"] for task in page["tasks"]], [third["id"], second["id"]], "first page, the newest first")
    equal([task["artifacts"] for task in page["tasks"]], [[], []], "artifacts, which were not asked for")
    holds(page["next"] and page["total"] == 3, f"token of the next page and total: {page}")
    page = client.call("list", pageToken=page["next"], artifacts=True, **asked)
    equal([task["id"] for task in page["tasks"]], [first["id"]], "second page")
    is_task(page["tasks"][0], "completed", ["Echo: one"])
    equal((page["next"], page["total"]), ("", 3), "no further page")
    waiting = send(client, "ask: Why?", contextId=first["contextId"])
    page = client.call("list", state="input-required", **asked)
    equal([task["id"] for task in page["tasks"]], [waiting["id"]], "tasks that wait for input")
    equal(client.call("list", state="failed", **asked)["tasks"], [], "failed tasks")


@scenario("multi-turn")
def multi_turn(client, _):
    asked = send(client, "ask: What is your name?")
    is_task(asked, "input-required")
    equal(asked["text"], "What is your name?", "question")
    ids = {"taskId": asked["id"], "contextId": asked["contextId"]}
    again = send(client, "ask: And your age?", **ids)
    equal((again["state"], again["text"]), ("input-required", "And your age?"), "second question")
    done = send(client, "Ada", **ids)
    is_task(done, "completed", ["Echo: Ada"])
    equal((done["id"], done["contextId"]), (asked["id"], asked["contextId"]), "ids")
    said = [message["text"] for message in done["history"] if message["role"] == "user"]
    equal(said, ["ask: What is your name?", "ask: And your age?", "Ada"], "what the user said")
    if not client.sdk.drops(client.binding, "historyLength"):
        newest = client.call("get", id=done["id"], historyLength=1)["history"]
        equal(newest, done["history"][-1:], "the newest message alone")


@scenario("reply")
def reply(client, _):
    pong = {"kind": "message", "text": "pong"}
    equal(send(client, "message: pong"), pong, "a message instead of a task")
    equal(client.call("stream", text="message: pong", messageId=new()), [pong], "a stream of one message")


@scenario("failure")
def failure(client, _):
    task = send(client, "fail: out of paper")
    is_task(task, "failed")
    equal(task["text"], "out of paper", "reason")


def hook(receiver, id="hook-1"):
    """A config, and the path that it sends to."""
    path = new()
    url = receiver.url(path)
    return path, {"id": id, "url": url, "token": f"tk-{path}", "scheme": "Bearer", "credentials": f"cr-{path}"}


def told(client, body):
    """The state and the chunks of a webhook's body: 1.0 sends the event, 0.3 the task."""
    if client.sdk.protocol == "0.3":
        equal(body["kind"], "task", f"kind of {body}")
        parts = [part["text"] for artifact in body.get("artifacts", []) for part in artifact["parts"]]
        return body["id"], body["status"]["state"], parts
    ((kind, event),) = body.items()
    state = event["status"]["state"].removeprefix("TASK_STATE_").lower() if "status" in event else None
    parts = [part["text"] for part in event["artifact"]["parts"]] if kind == "artifactUpdate" else []
    return event["id"] if kind == "task" else event["taskId"], state, parts


def hears(client, receiver, path, config, task_id):
    """Waits for the task's completion at a receiver; checks what came; returns the states and the chunks, in order."""
    done = lambda bodies: any(told(client, body)[1] == "completed" for body in bodies)
    received = receiver.until(path, done, "completion")
    for headers, _ in received:
        equal(headers["authorization"], f"Bearer {config['credentials']}", "Authorization")
        equal(headers["x-a2a-notification-token"], config["token"], "token")
    ids = [headers["webhook-id"] for headers, _ in received]
    equal(len(ids), len(set(ids)), "each event is told once")
    ids, states, parts = zip(*(told(client, body) for _, body in received))
    equal(set(ids), {task_id}, "task")
    parts = parts[-1] if client.sdk.protocol == "0.3" else sum(parts, [])
    return [state for state in states if state], parts


@scenario("push")
def push(client, receiver):
    path, config = hook(receiver)
    task = send(client, "slow: 6", wait=False)
    expected = {"taskId": task["id"], **config}
    equal(client.call("pushSet", taskId=task["id"], **config), expected, "the config that was set")
    equal(client.call("pushGet", taskId=task["id"], id=config["id"]), expected, "the config when it is read")
    states, parts = hears(client, receiver, path, config, task["id"])
    equal(states[-1], "completed", "the last state")
    # Events from before the config was set are not told.
    holds(len(parts) >= 3, f"most chunks are told: {parts}")
    equal(parts, chunks(6)[-len(parts) :], "chunks, without gap or duplicate")


@scenario("push on send")
def push_on_send(client, receiver):
    path, config = hook(receiver)
    task = send(client, "slow: 2", wait=False, push=config)
    expected = {"taskId": task["id"], **config}
    equal(client.call("pushGet", taskId=task["id"], id=config["id"]), expected, "the config when it is read")
    states, parts = hears(client, receiver, path, config, task["id"])
    if client.sdk.protocol == "1.0":
        equal(states, ["submitted", "working", "completed"], "all states")
    equal((states[0], states[-1]), ("submitted", "completed"), "the first and the last state")
    equal(parts, chunks(2), "all chunks")


@scenario("push list, delete")
def push_list_and_delete(client, receiver):
    client.needs("pushList", "pushDelete")
    task = send(client, "ask: Your name?")
    (kept_at, kept), (gone_at, gone) = hook(receiver, "kept"), hook(receiver, "gone")
    for config in (kept, gone):
        client.call("pushSet", taskId=task["id"], **config)
    listed = lambda: sorted(client.call("pushList", taskId=task["id"]), key=lambda config: config["id"])
    equal(listed(), [{"taskId": task["id"], **gone}, {"taskId": task["id"], **kept}], "configs")
    for _ in range(2):  # to delete what is gone already is no error
        client.call("pushDelete", taskId=task["id"], id="gone")
    equal(listed(), [{"taskId": task["id"], **kept}], "configs after one was deleted")
    refused(client, "TaskNotFound", "pushGet", taskId=task["id"], id="gone")
    is_task(send(client, "Ada", taskId=task["id"], contextId=task["contextId"]), "completed", ["Echo: Ada"])
    hears(client, receiver, kept_at, kept, task["id"])
    equal(receiver.received.get(f"/{gone_at}"), None, "what the deleted one was sent")


def refused(client, error, operation, **request):
    """The SDK raises its own class of this error."""
    try:
        answer = client.call(operation, **request)
    except Refused as refusal:
        expected = client.sdk.error(client.binding, operation, error)
        holds(refusal.kind == expected, f"{operation}: {expected} was expected, not {refusal}")
    else:
        raise AssertionError(f"{operation}: {error} was expected, not {answer}")


@scenario("errors")
def errors(client, receiver):
    done = send(client, "hello")
    ids = {"taskId": done["id"], "contextId": done["contextId"]}
    say = {"text": "more", "messageId": new()}
    _, config = hook(receiver)
    expected = functools.partial(refused, client)
    expected("TaskNotFound", "get", id=new())
    expected("TaskNotFound", "cancel", id=new())
    expected("TaskNotFound", "subscribe", id=new())
    expected("TaskNotFound", "send", taskId=new(), **say)
    expected("TaskNotFound", "stream", taskId=new(), **say)
    expected("TaskNotFound", "pushSet", taskId=new(), **config)
    expected("TaskNotFound", "pushGet", taskId=done["id"], id="none")
    expected("TaskNotCancelable", "cancel", id=done["id"])
    expected("UnsupportedOperation", "send", **say, **ids)
    expected("UnsupportedOperation", "stream", **say, **ids)
    expected("UnsupportedOperation", "subscribe", id=done["id"])
    expected("InvalidParams", "send", **say, **ids | {"contextId": new()})
    expected("InvalidParams", "pushSet", taskId=done["id"], **config | {"url": "http://10.0.0.1/hook"})
    equal(client.call("get", id=done["id"]), done, "the task after all that")
