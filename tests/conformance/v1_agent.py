"""The agent that the conformance kit's tests of A2A 1.0 presume: a message's id says what is to happen to its task.

It speaks A2A 1.0 over JSON-RPC with Python's standard library alone, so that nothing has to be installed for it.
Usage: v1_agent.py PORT
"""

import json
import sys
import threading
import time
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORKING, COMPLETED, CANCELED, REJECTED, ASKING = (
    f"TASK_STATE_{name}" for name in ("WORKING", "COMPLETED", "CANCELED", "REJECTED", "INPUT_REQUIRED")
)
SETTLED = {COMPLETED, CANCELED, REJECTED}
FILE = {"filename": "output.txt", "mediaType": "text/plain"}


def text(words):
    return {"text": words}


def artifact(part, **how):
    return ("artifact", part, how)


def status(state, words=None):
    return ("status", state, words)


def lifecycle(part):
    return [status(WORKING), artifact(part), status(COMPLETED)]


# What happens by the beginning of the message's id; the longest that fits counts. The kit compares the artifacts' texts,
# the file's name and the reply.
SCENARIOS = {
    "tck-complete-task": [status(COMPLETED, "The task is complete.")],
    "tck-input-required": [status(ASKING)],
    "tck-reject-task": [status(REJECTED, "This task is not taken.")],
    "tck-message-response": [("reply", "Direct message response", None)],
    "tck-artifact-text": [artifact(text("Generated text content")), status(COMPLETED)],
    "tck-artifact-file": [artifact({"raw": "dGNr", **FILE}), status(COMPLETED)],
    "tck-artifact-file-url": [artifact({"url": "https://example.com/output.txt", **FILE}), status(COMPLETED)],
    "tck-artifact-data": [artifact({"data": {"key": "value", "count": 42}}), status(COMPLETED)],
    "tck-stream-001": lifecycle(text("A streamed text.")),
    "tck-stream-002": [status(COMPLETED)],
    "tck-stream-003": lifecycle(text("A streamed text.")),
    "tck-stream-ordering-001": lifecycle(text("A text between two states.")),
    "tck-stream-artifact-text": lifecycle(text("Streamed text content")),
    "tck-stream-artifact-file": lifecycle({"raw": "dGNr", **FILE}),
    "tck-stream-artifact-chunked": [
        status(WORKING),
        artifact(text("chunk-1 ")),
        artifact(text("chunk-2"), append=True, lastChunk=True),
        status(COMPLETED),
    ],
    # Long enough for a client to come back to the task.
    "test-resubscribe-message-id": [status(WORKING), ("pause", 4, None), status(COMPLETED)],
}
OTHERWISE = [status(COMPLETED, "No scenario is named by this message's id.")]


def scenario(message_id):
    fitting = [prefix for prefix in SCENARIOS if message_id.startswith(prefix)]
    return SCENARIOS[max(fitting, key=len)] if fitting else OTHERWISE


def message(words, **ids):
    return {"messageId": str(uuid.uuid4()), "role": "ROLE_AGENT", "parts": [text(words)], **ids}


class Refused(Exception):
    """An error of A2A, by its JSON-RPC code."""

    def __init__(self, code, words):
        super().__init__(words)
        self.code = code


class Task:
    """A task and the events it has had, which those who watch it wait for."""

    def __init__(self, context_id):
        self.id, self.context_id = str(uuid.uuid4()), context_id or str(uuid.uuid4())
        self.state, self.artifacts, self.history, self.events = {}, [], [], []
        self.changed = threading.Condition()

    def ids(self):
        return {"taskId": self.id, "contextId": self.context_id}

    def value(self):
        value = {"id": self.id, "contextId": self.context_id, "status": self.state}
        return {**value, "artifacts": list(self.artifacts), "history": list(self.history)}

    def rests(self):
        return self.state["state"] in SETTLED | {ASKING}

    def enter(self, state, words=None):
        """Ends nothing that has ended: a cancellation may come before a scenario's last step."""
        with self.changed:
            if self.state.get("state") in SETTLED:
                return
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self.state = {"state": state, "timestamp": now}
            if words:
                self.state["message"] = message(words, **self.ids())
            self.tell({"statusUpdate": {**self.ids(), "status": self.state}})

    def add(self, part, how):
        with self.changed:
            if how.get("append"):
                self.artifacts[-1]["parts"].append(part)
            else:
                self.artifacts.append({"artifactId": f"artifact-{len(self.artifacts) + 1}", "parts": [part]})
            piece = {"artifactId": self.artifacts[-1]["artifactId"], "parts": [part]}
            self.tell({"artifactUpdate": {**self.ids(), "artifact": piece, **how}})

    def tell(self, event):
        self.events.append(event)
        self.changed.notify_all()

    def play(self, steps):
        for kind, what, more in steps:
            if kind == "pause":
                time.sleep(what)
            elif kind == "artifact":
                self.add(what, more)
            else:
                self.enter(what, more)

    def watch(self, seen, before):
        """What follows the first `seen` events, until the task rests; `before`: what to show first."""
        yield before
        while True:
            with self.changed:
                while len(self.events) == seen and not self.rests():
                    self.changed.wait()
                fresh, seen, over = self.events[seen:], len(self.events), self.rests()
            yield from fresh
            if over:
                return


class Agent:
    """The operations that a gateway needs of it."""

    def __init__(self):
        self.tasks, self.lock = {}, threading.Lock()

    def find(self, task_id):
        task = self.tasks.get(task_id)
        if task is None:
            raise Refused(-32001, "There is no such task.")
        return task

    def stream(self, params):
        said = params["message"]
        steps = scenario(said["messageId"])
        if steps[0][0] == "reply":
            context_id = said.get("contextId") or str(uuid.uuid4())
            return iter([{"message": message(steps[0][1], contextId=context_id)}])
        if said.get("taskId"):
            task = self.find(said["taskId"])
        else:
            task = Task(said.get("contextId"))
            with self.lock:
                self.tasks[task.id] = task
        with task.changed:
            if task.state.get("state") in SETTLED:
                raise Refused(-32004, "The task has ended.")
            task.history.append({**said, **task.ids()})
            task.enter("TASK_STATE_SUBMITTED")
            seen, first = len(task.events), {"task": task.value()}
        threading.Thread(target=task.play, args=(steps,), daemon=True).start()
        return task.watch(seen, first)

    def subscribe(self, params):
        task = self.find(params["id"])
        with task.changed:
            if task.state["state"] in SETTLED:
                raise Refused(-32004, "The task has ended.")
            return task.watch(len(task.events), {"task": task.value()})

    def get(self, params):
        return self.find(params["id"]).value()

    def cancel(self, params):
        task = self.find(params["id"])
        task.enter(CANCELED)
        if task.state["state"] != CANCELED:
            raise Refused(-32002, "The task has ended.")
        return task.value()


def card(url):
    skill = {"id": "scenarios", "name": "Scenarios", "description": "Does what a message's id says.", "tags": ["test"]}
    return {
        "name": "Scenarios",
        "description": "Follows the scenarios of the conformance kit.",
        "version": "1",
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill],
    }


class Door(BaseHTTPRequestHandler):
    """JSON-RPC, with a stream as Server-Sent Events; a connection serves one request."""

    agent = Agent()

    def do_GET(self):
        host, port = self.server.server_address[:2]
        self.answer(200, card(f"http://{host}:{port}/"))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        streams = {"SendStreamingMessage": self.agent.stream, "SubscribeToTask": self.agent.subscribe}
        answers = {"GetTask": self.agent.get, "CancelTask": self.agent.cancel}
        head, method, params = {"jsonrpc": "2.0", "id": request["id"]}, request["method"], request.get("params", {})
        try:
            if method in streams:
                self.show(head, streams[method](params))
            elif method in answers:
                self.answer(200, {**head, "result": answers[method](params)})
            else:
                raise Refused(-32601, f"There is no method {method}.")
        except Refused as error:
            self.answer(200, {**head, "error": {"code": error.code, "message": str(error)}})

    def show(self, head, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {json.dumps({**head, 'result': event})}\n\n".encode())

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Whoever is gone before the end of a stream is no error."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
