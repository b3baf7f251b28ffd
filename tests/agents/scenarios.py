"""What is asked of every agent through every door, each a function that raises AssertionError when it is not so."""

import time

import directives

# Of a task's whole way, in seconds, and the pause between two polls.
LIMIT, PAUSE = 60, 0.1
SETTLED = ("COMPLETED", "FAILED", "CANCELED", "REJECTED")
# A task that is still under way while something is restarted, and one that would go on for long.
LONG, ENDLESS = 60, 300


class Skipped(Exception):
    """The agent's SDK cannot do this."""


class Row:
    """An agent behind a door. `agent` is None for the gateway's built-in one."""

    def __init__(self, name, agent, door):
        self.name, self.agent, self.door = name, agent, door
        self.full = agent is None or agent.full

    def submit(self, text, task=None):
        return self.door.send(self.name, text, task, wait=False)

    def until(self, task_id, holds, what):
        """Polls a task until something holds of it."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            task = self.door.get(task_id)
            if holds(task):
                return task
            time.sleep(PAUSE)
        raise AssertionError(f"not {what} within {LIMIT} s: {task}")

    def settled(self, task_id):
        return self.until(task_id, lambda task: state(task) in SETTLED, "settled")

    def under_way(self, task_id):
        """A task that the agent has begun: with some of its chunks where the agent sends any before the end."""
        begun = lambda task: text(task).count("\n") >= 2 if self.full else state(task) == "WORKING"
        task = self.until(task_id, begun, "under way")
        holds(state(task) == "WORKING", f"under way: {task}")
        return task


class Reader:
    """What a watcher has seen of a task: its artifact's text and the last sequence, without a gap or a duplicate."""

    def __init__(self, sequence=0):
        self.sequence, self.text, self.state, self.appends = sequence, "", None, []

    @property
    def chunks(self):
        return len(self.appends)

    def take(self, sequence, event):
        holds(sequence == self.sequence + 1, f"event {sequence} after {self.sequence}: {event}")
        self.sequence = sequence
        if "task" in event:
            self.state, self.text = state(event["task"]), text(event["task"])
        elif "statusUpdate" in event:
            self.state = state(event["statusUpdate"])
        elif "artifactUpdate" in event:
            update = event["artifactUpdate"]
            self.appends.append(update.get("append", False))
            self.text = (self.text if self.appends[-1] else "") + text_of(update["artifact"]["parts"])
        return self

    def read(self, events, enough):
        """Reads events until there are enough; the connection is cut then."""
        for sequence, event in events:
            if enough(self.take(sequence, event)):
                break
        events.close()

    def ends(self, count):
        holds(self.state == "COMPLETED", f"state: {self.state}")
        equal(self.text, "".join(directives.chunks(count)), "text")


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(actual, expected, what):
    holds(actual == expected, f"{what}: {actual!r} instead of {expected!r}")


def state(of):
    return of["status"]["state"].removeprefix("TASK_STATE_")


def text_of(parts):
    return "".join(part["text"] for part in parts)


def text(task):
    """The text of a task's only artifact."""
    artifacts = task.get("artifacts", [])
    holds(len(artifacts) <= 1, f"one artifact: {artifacts}")
    return "".join(text_of(artifact["parts"]) for artifact in artifacts)


def said(task):
    """The text of a task's status."""
    return text_of(task["status"].get("message", {}).get("parts", []))


def is_completed(task, expected):
    equal(state(task), "COMPLETED", f"state of {task}")
    equal(text(task), expected, "text")


def blocking(row):
    is_completed(row.door.send(row.name, "hello"), "Echo: hello")


def polling(row):
    task = row.submit("slow: 5")
    holds(state(task) in ("SUBMITTED", "WORKING"), f"submitted: {task}")
    is_completed(row.settled(task["id"]), "".join(directives.chunks(5)))


def stream(row):
    reader, first = None, None
    for sequence, event in row.door.stream(row.name, "slow: 15"):
        # A stream may begin with the task, or with what the task's submission is followed by.
        reader = reader or Reader(sequence - 1)
        reader.take(sequence, event)
        if reader.chunks == 1 and first is None:
            first = time.monotonic()
    end = time.monotonic()
    holds(reader is not None, "an empty stream")
    reader.ends(15)
    if row.full:
        equal(reader.appends, [False] + [True] * 14, "append of the chunks")
        holds(end - first > 4 * directives.PAUSE, f"chunks come as they are made: all within {end - first:.2f} s")


def cut_and_resume(row):
    task_id = row.submit("slow: 12")["id"]
    reader = Reader()
    reader.read(row.door.watch(task_id, 0), lambda seen: seen.chunks == 3 if row.full else seen.state == "WORKING")
    holds(reader.state not in SETTLED, "the cut comes before the end")
    # Something is missed meanwhile.
    if row.full:
        row.until(task_id, lambda task: text(task).count("\n") >= 6, "further on")
    resumed = row.door.watch(task_id, reader.sequence)
    reader.read(resumed, lambda seen: seen.state in SETTLED)
    reader.ends(12)
    is_completed(row.door.get(task_id), reader.text)


def cancel(row):
    told = row.agent and row.agent.said().count(directives.CANCELED)
    task_id = row.submit(f"slow: {ENDLESS}")["id"]
    row.under_way(task_id)
    equal(state(row.door.cancel(task_id)), "CANCELED", "state")
    task = row.door.get(task_id)
    equal(state(task), "CANCELED", "state when read")
    if row.agent is not None:
        equal(row.agent.said().count(directives.CANCELED), told + 1, "cancels that reached the agent")
    time.sleep(3 * directives.PAUSE)
    equal(row.door.get(task_id), task, "the task a little later")


def turns(row):
    if not row.full:
        raise Skipped
    for wait in (True, False):
        task = row.door.send(row.name, "ask: which one?")
        equal((state(task), said(task)), ("INPUT_REQUIRED", "which one?"), "first turn")
        if wait:
            is_completed(row.door.send(row.name, "this one", task), "Echo: this one")
        else:
            row.submit("slow: 4", task)
            is_completed(row.settled(task["id"]), "".join(directives.chunks(4)))


def failure(row):
    task = row.door.send(row.name, "fail: out of paper")
    equal(state(task), "FAILED", f"state of {task}")
    # Where the agent does not say why, the gateway does not know.
    if row.full:
        equal(said(task), "out of paper", "why")


def reply(row):
    if not row.full:
        raise Skipped
    answer = row.door.send(row.name, "message: pong")
    # The gateway's own API shows every reply as a task that has completed.
    equal(text_of(answer["parts"]) if "parts" in answer else said(answer), "pong", "reply")


class GatewayRestart:
    """The gateway is killed while the agent works and somebody watches; the watch is taken up again afterwards."""

    def before(self, row):
        self.task_id = row.submit(f"slow: {LONG}")["id"]
        self.reader = Reader()
        enough = lambda seen: seen.chunks == 3 if row.full else seen.state == "WORKING"
        self.reader.read(row.door.watch(self.task_id, 0), enough)
        equal(state(row.door.get(self.task_id)), "WORKING", "state before the restart")

    def after(self, row):
        self.reader.read(row.door.watch(self.task_id, self.reader.sequence), lambda seen: seen.state in SETTLED)
        self.reader.ends(LONG)
        is_completed(row.door.get(self.task_id), self.reader.text)


class AgentRestart:
    """The agent is killed while it works: its task fails, with a text, and the agent is as good as before."""

    def before(self, row):
        if row.agent is None:
            raise Skipped
        self.task_id = row.submit(f"slow: {LONG}")["id"]
        row.under_way(self.task_id)

    def after(self, row):
        task = row.settled(self.task_id)
        equal(state(task), "FAILED", f"state of {task}")
        holds(said(task), f"a failed task says why: {task}")
        if row.agent.keeps:
            equal(said(task), directives.INTERRUPTED, "why")
        blocking(row)


STEPS = {
    "blocking": blocking,
    "polling": polling,
    "stream": stream,
    "resume": cut_and_resume,
    "cancel": cancel,
    "turns": turns,
    "failure": failure,
    "reply": reply,
}
