"""The agent that the conformance kit's tests of A2A 0.3 presume: it answers a message, and asks for the next one.

The kit continues, reads and cancels every task that it makes, after a send that has waited for its end: so none may have
ended. Its test of resubscription wants a task that works for some time, and names it by the message's id.
It speaks A2A 0.3 over JSON-RPC with Python's standard library alone, so that nothing has to be installed for it.
Usage: v03_agent.py PORT
"""

import json
import sys
import threading
import time
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONG = "test-resubscribe-message-id"
# In seconds; the kit asks for twice its timeout for streams, which is 2 s.
LONG_WORK, STEP = 5, 0.5
RESTS = {"input-required", "completed", "canceled"}


class Refused(Exception):
    """An error of A2A, by its JSON-RPC code."""

    def __init__(self, code, words):
        super().__init__(words)
        self.code = code


class Task:
    """A task, and how those who watch it hear of what happens to it."""

    def __init__(self, context_id):
        self.id, self.context_id = str(uuid.uuid4()), context_id or str(uuid.uuid4())
        self.status, self.artifacts, self.history, self.events = {"state": "submitted"}, [], [], []
        self.changed = threading.Condition()

    def value(self):
        value = {"kind": "task", "id": self.id, "contextId": self.context_id, "status": self.status}
        return {**value, "artifacts": list(self.artifacts), "history": list(self.history)}

    def tell(self, kind, **what):
        self.events.append({"kind": kind, "taskId": self.id, "contextId": self.context_id, **what})
        self.changed.notify_all()

    def enter(self, state, words=None):
        """Changes nothing once the task is canceled: the work may not have noticed yet."""
        with self.changed:
            if self.status["state"] == "canceled":
                return
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self.status = {"state": state, "timestamp": now}
            if words:
                ids = {"messageId": str(uuid.uuid4()), "taskId": self.id, "contextId": self.context_id}
                parts = [{"kind": "text", "text": words}]
                self.status["message"] = {"kind": "message", "role": "agent", "parts": parts, **ids}
            self.tell("status-update", status=self.status, final=state in RESTS)

    def work(self, message_id):
        self.enter("working")
        if message_id.startswith(LONG):
            for _ in range(int(LONG_WORK / STEP)):
                time.sleep(STEP)
                # Something to see for those who come later.
                self.enter("working", "Still at it.")
            self.enter("completed")
            return
        with self.changed:
            artifact = {"artifactId": str(uuid.uuid4()), "parts": [{"kind": "text", "text": "An answer."}]}
            self.artifacts.append(artifact)
            self.tell("artifact-update", artifact=artifact, append=False, lastChunk=True)
        self.enter("input-required", "What else?")

    def watch(self, seen, first=None):
        """What follows the first `seen` events until the task rests; `first`: what to show before."""
        if first:
            yield first
        while True:
            with self.changed:
                while len(self.events) == seen:
                    self.changed.wait()
                fresh, seen = self.events[seen:], len(self.events)
            yield from fresh
            if fresh[-1].get("final"):
                return


class Agent:
    """The operations that a gateway needs of it."""

    def __init__(self):
        self.tasks = {}

    def find(self, task_id):
        if task_id not in self.tasks:
            raise Refused(-32001, "There is no such task.")
        return self.tasks[task_id]

    def stream(self, params):
        said = params["message"]
        task = self.find(said["taskId"]) if said.get("taskId") else Task(said.get("contextId"))
        self.tasks[task.id] = task
        with task.changed:
            task.history.append({**said, "taskId": task.id, "contextId": task.context_id})
            first = None if said.get("taskId") else task.value()
            threading.Thread(target=task.work, args=(said["messageId"],), daemon=True).start()
            return task.watch(len(task.events), first)

    def resubscribe(self, params):
        task = self.find(params["id"])
        with task.changed:
            if task.status["state"] in RESTS:
                raise Refused(-32004, "The task is not at work.")
            return task.watch(len(task.events))

    def get(self, params):
        return self.find(params["id"]).value()

    def cancel(self, params):
        task = self.find(params["id"])
        if task.status["state"] in ("completed", "canceled"):
            raise Refused(-32002, "The task has ended.")
        task.enter("canceled")
        return task.value()


def card(url):
    skill = {"id": "answers", "name": "Answers", "description": "Answers, and asks for more.", "tags": ["test"]}
    return {
        "protocolVersion": "0.3.0",
        "name": "Scenarios",
        "description": "Does what the conformance kit presumes.",
        "version": "1",
        "url": url,
        "preferredTransport": "JSONRPC",
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill],
    }


class Door(BaseHTTPRequestHandler):
    """JSON-RPC, with a stream as Server-Sent Events; a connection serves one request."""

    agent = Agent()

    def do_GET(self):
        host, port = self.server.server_address[:2]
        self.answer(card(f"http://{host}:{port}/"))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        streams = {"message/stream": self.agent.stream, "tasks/resubscribe": self.agent.resubscribe}
        answers = {"tasks/get": self.agent.get, "tasks/cancel": self.agent.cancel}
        head, method, params = {"jsonrpc": "2.0", "id": request["id"]}, request["method"], request.get("params", {})
        try:
            if method in streams:
                self.show(head, streams[method](params))
            elif method in answers:
                self.answer({**head, "result": answers[method](params)})
            else:
                raise Refused(-32601, f"There is no method {method}.")
        except Refused as refused:
            self.answer({**head, "error": {"code": refused.code, "message": str(refused)}})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.begin("application/json", ("Content-Length", len(body)))
        self.wfile.write(body)

    def show(self, head, events):
        self.begin("text/event-stream")
        for event in events:
            self.wfile.write(f"data: {json.dumps({**head, 'result': event})}\n\n".encode())
            self.wfile.flush()

    def begin(self, media_type, *more):
        self.send_response(200)
        for name, value in [("Content-Type", media_type), ("Connection", "close"), *more]:
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        """Nothing: the gateway's log has what happens."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
