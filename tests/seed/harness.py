"""What the checks share: the gateway that they run against, its doors, and how they say what must hold."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

import aiohttp
from praisonaiagents.ui.a2a.client import A2AClient

STATES = {
    "submitted",
    "working",
    "completed",
    "failed",
    "cancelled",
    "input_required",
    "auth_required",
}
# What the client's polling loop ends on.
FINISHED = {"completed", "failed", "cancelled"}
# Bounds of every wait, in seconds, and the pause between two polls.
LIMIT, PAUSE = 30, 0.02
UNKNOWN_TASK = "task-0a1b2c3d4e5f"
PUSH = "tasks/pushNotificationConfig/"
CHECKS = []


class SubmittingClient(A2AClient):
    """The small subclass that a caller needs who does not want to wait: the client itself has no way to say so."""

    async def submit(self, text, key="returnImmediately"):
        message = {"messageId": str(uuid.uuid4()), "role": "user", "parts": [{"text": text}]}
        return await self._jsonrpc_call("message/send", {"message": message, "configuration": {key: True}})


class Door:
    """Where the gateway speaks the dialect."""

    def __init__(self, origin, path, binary):
        self.origin = origin
        self.binary = binary
        self.base = origin + path
        self.dialect_is_known = bool(path)
        self.name = f"{path}/a2a"

    async def post(self, body, accept=None):
        """Posts bytes; returns the HTTP status, the media type and the body."""
        headers = {"Content-Type": "application/json"} | ({"Accept": accept} if accept else {})
        timeout = aiohttp.ClientTimeout(total=LIMIT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.post(f"{self.base}/a2a", data=body, headers=headers) as response:
                return response.status, response.content_type, await response.read()

    async def call(self, method, params, request_id="1", version="2.0"):
        """Makes a JSON-RPC call; checks the envelope and returns the answer."""
        request = {"jsonrpc": version, "method": method, "id": request_id, "params": params}
        status, media_type, body = await self.post(json.dumps(request).encode())
        equal(status, 200, "HTTP status")
        equal(media_type, "application/json", "media type")
        answer = json.loads(body)
        equal(answer["jsonrpc"], "2.0", "jsonrpc")
        holds(("result" in answer) != ("error" in answer), f"one of result and error: {answer}")
        return answer

    async def stream(self, text):
        """Sends message/stream and returns the bytes of the whole event stream."""
        message = {"messageId": str(uuid.uuid4()), "role": "user", "parts": [{"text": text}]}
        request = {"jsonrpc": "2.0", "method": "message/stream", "id": "1", "params": {"message": message}}
        status, media_type, body = await self.post(json.dumps(request).encode(), "text/event-stream")
        equal(status, 200, "HTTP status")
        equal(media_type, "text/event-stream", "media type")
        return body


def check(function):
    """Marks a check that runs on each door."""
    CHECKS.append(function)
    return function


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(actual, expected, what):
    holds(actual == expected, f"{what}: {actual!r} instead of {expected!r}")


def is_error(answer, code, message=None):
    """The dialect's errors have a code and a message and nothing else."""
    error = answer.get("error")
    holds(error is not None, f"an error was expected: {answer}")
    equal(error["code"], code, f"code of {error}")
    equal(sorted(error), ["code", "message"], "members of the error")
    if message is not None:
        equal(error["message"], message, "message")


def is_task(task):
    """What every task of the dialect looks like; returns its state."""
    holds("kind" not in task and "task" not in task, f"a bare task without kind: {task}")
    holds(isinstance(task["id"], str) and task["id"], "the task has an id")
    holds(isinstance(task["status"], dict), "status is an object")
    state = task["status"]["state"]
    holds(state in STATES, f"a state of the dialect: {state}")
    holds(isinstance(task["status"]["timestamp"], str), "status has a timestamp")
    return state


async def finished(client, task_id):
    """Polls a task as the client's own users do, until it has finished."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        task = (await client.get_task(task_id))["result"]
        equal(task["id"], task_id, "id")
        if is_task(task) in FINISHED:
            return task
        await asyncio.sleep(PAUSE)
    raise AssertionError(f"{task_id} did not finish within {LIMIT} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(process, origin):
    # Not through a proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with {process.returncode}")
        # Refused connections, and 503 while it starts, are both OSErrors here.
        with contextlib.suppress(OSError):
            with opener.open(f"{origin}/readyz", timeout=LIMIT) as response:
                if response.status == 200:
                    return
        time.sleep(PAUSE)
    raise RuntimeError(f"the gateway is not ready after {LIMIT} s")


@contextlib.contextmanager
def running_gateway(binary):
    """A gateway on a free port with a data directory of its own; stopped at the end, its log shown if that is bad."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="seed-") as directory:
        log = Path(directory, "gateway.log")
        command = [binary, "serve", "--listen", address, "--data-dir", str(Path(directory, "data"))]
        # Receivers of webhooks are on this machine.
        command += ["--webhook-allow", "127.0.0.0/8"]
        # Settings of whoever runs this are not the gateway's; nor is the name of its binary a setting.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("A2A_GATEWAY_")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )
        try:
            wait_until_ready(process, f"http://{address}")
            yield f"http://{address}"
        except BaseException:
            print("The gateway's log ends:", *log.read_text(errors="replace").splitlines()[-20:], sep="\n  ")
            raise
        finally:
            process.terminate()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
