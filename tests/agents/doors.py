"""The gateway's two doors as a client sees them: JSON-RPC by plain HTTP, gRPC by the gateway's own command line.

Both answer with tasks and events in the protocol's JSON. An event is (sequence, event), the event an object with one of
`task`, `statusUpdate`, `artifactUpdate` and `message`.
"""

import contextlib
import http.client
import json
import subprocess
import threading
import time
import urllib.parse
import uuid

# Of every call and every stream, in seconds.
LIMIT = 60


class Refused(Exception):
    """The gateway answered with an error."""


class Endless(Exception):
    """A stream did not end in time."""

    def __init__(self):
        super().__init__(f"the stream goes on after {LIMIT} s")


class JsonDoor:
    """A2A 1.0 over JSON-RPC; agents are told apart by the tenant."""

    name = "JSON-RPC"

    def __init__(self, origin):
        self.address = urllib.parse.urlsplit(origin).netloc

    @contextlib.contextmanager
    def _post(self, method, params, headers=()):
        connection = http.client.HTTPConnection(self.address, timeout=LIMIT)
        try:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            connection.request(
                "POST", "/a2a", body, {"Content-Type": "application/json", "A2A-Version": "1.0", **dict(headers)}
            )
            yield connection.getresponse()
        finally:
            connection.close()

    def _call(self, method, params):
        with self._post(method, params) as response:
            return result(json.load(response))

    def _stream(self, method, params, headers=()):
        with self._post(method, params, {"Accept": "text/event-stream", **dict(headers)}) as response:
            if response.headers.get_content_type() != "text/event-stream":
                raise Refused(result(json.load(response)))
            sequence, end = None, time.monotonic() + LIMIT
            for line in response:
                if time.monotonic() > end:
                    raise Endless
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    sequence = int(value)
                elif field == "data":
                    yield sequence, result(json.loads(value))

    @staticmethod
    def _params(agent, text, task, wait=True):
        message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"text": text}]}
        if task is not None:
            message |= {"taskId": task["id"], "contextId": task["contextId"]}
        return {"tenant": agent, "message": message, "configuration": {"returnImmediately": not wait}}

    def send(self, agent, text, task=None, wait=True):
        """Sends a message; returns the task, or the message of a direct reply."""
        answer = self._call("SendMessage", self._params(agent, text, task, wait))
        return answer.get("task") or answer["message"]

    def stream(self, agent, text):
        """Sends a message and yields the events of its task."""
        return self._stream("SendStreamingMessage", self._params(agent, text, None))

    def watch(self, task_id, after):
        """Yields the events after one; the connection is cut when the generator is closed."""
        return self._stream("SubscribeToTask", {"id": task_id}, {"Last-Event-ID": str(after)})

    def get(self, task_id):
        return self._call("GetTask", {"id": task_id})

    def cancel(self, task_id):
        return self._call("CancelTask", {"id": task_id})


class GrpcDoor:
    """The gateway's own gRPC API, spoken by its command line."""

    name = "gRPC"

    def __init__(self, origin, binary):
        self.origin, self.binary = origin, binary
        self.running = set()

    def _command(self, verb, *arguments):
        return [self.binary, verb, "--json", "--gateway", self.origin, *arguments]

    def _call(self, verb, *arguments):
        done = subprocess.run(
            self._command(verb, *arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, text=True
        )
        if not done.stdout:
            raise Refused(done.stderr.strip())
        return json.loads(done.stdout)["task"]

    def _stream(self, verb, *arguments):
        command = self._command(verb, *arguments)
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            late = threading.Event()
            timer = threading.Timer(LIMIT, lambda: (late.set(), process.kill()))
            timer.start()
            self.running.add(process)
            said = False
            try:
                for line in process.stdout:
                    said = True
                    event = json.loads(line)
                    if "snapshot" in event:
                        event["task"] = event.pop("snapshot")
                    yield int(event["sequence"]), event
                if late.is_set():
                    raise Endless
                if not said:
                    raise Refused(process.stderr.read().decode().strip())
            finally:
                timer.cancel()
                process.kill()
                self.running.discard(process)

    def close(self):
        """Ends the streams that are under way."""
        for process in list(self.running):
            process.kill()

    def send(self, agent, text, task=None, wait=True):
        to = ["--agent", agent] if task is None else ["--task", task["id"]]
        return self._call("send", *to, *([] if wait else ["--no-wait"]), text)

    def stream(self, agent, text):
        return self._stream("send", "--agent", agent, "--watch", text)

    def watch(self, task_id, after):
        return self._stream("watch", "--after", str(after), task_id)

    def get(self, task_id):
        return self._call("get", task_id)

    def cancel(self, task_id):
        return self._call("cancel", task_id)


def result(answer):
    """The result of a JSON-RPC answer."""
    if "error" in answer:
        raise Refused(f"{answer['error']['code']} {answer['error']['message']}")
    return answer["result"]
