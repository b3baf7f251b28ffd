"""The push section of the seed page: its configs, a receiver as it describes one, and signatures of the gateway's own
webhooks, verified by the standardwebhooks package.

Importing this adds its checks to the others.
"""

import asyncio
import hmac
import http.server
import json
import subprocess
import threading
import time

from standardwebhooks import Webhook, WebhookVerificationError

from harness import LIMIT, PAUSE, PUSH, STATES, check, equal, finished, holds, is_error

TOKEN = "webhook-secret"
CREDENTIALS = {"scheme": "Bearer", "credentials": "my-auth-token"}
# The page's own examples: neither the task nor the host exists.
EXAMPLE = {
    "taskId": "task-123",
    "url": "https://my-app.test/hook",
    "token": TOKEN,
    "authentication": CREDENTIALS,
}


class Hooks(http.server.ThreadingHTTPServer):
    """Receives webhooks as the page's receiver does: the token is compared in constant time, then taskId is read."""

    daemon_threads = True

    def __init__(self, token=None):
        super().__init__(("127.0.0.1", 0), Hook)
        self.token = token
        self.received = []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": PAUSE})
        self.url = f"http://127.0.0.1:{self.server_port}/hook"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()

    async def until(self, what, passes):
        """Waits until what was received passes; returns it."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            received = list(self.received)
            if passes(received):
                return received
            await asyncio.sleep(PAUSE)
        raise AssertionError(f"no {what} within {LIMIT} s: {self.received}")


class Hook(http.server.BaseHTTPRequestHandler):
    """One request: its answer, the headers and the body are kept."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 200
        if self.server.token is not None:
            given = self.headers.get("X-Webhook-Token", "")
            if not hmac.compare_digest(given.encode(), self.server.token.encode()):
                status = 401
            elif not json.loads(body).get("taskId"):
                status = 400
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((status, headers, body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


def command(door, *arguments):
    """Runs one of the gateway's webhook commands; returns what it says."""
    line = [door.binary, "webhook", *arguments, "--gateway", door.origin, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT, check=False)
    equal(done.returncode, 0, f"exit code of {line}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else None


@check
async def push_is_supported(door, client):
    # The page's probe: whatever does not raise counts. An error would not, but is no support.
    answer = await client._jsonrpc_call(PUSH + "set", {"taskId": "test", "url": "https://my-app.test/probe"})
    expected = {"taskId": "test", "url": "https://my-app.test/probe", "token": None, "authentication": {}}
    equal(answer.get("result"), expected, f"result of {answer}")
    equal((await door.call(PUSH + "delete", {"taskId": "test"}))["result"], {"deleted": True}, "result")


@check
async def push_configs_are_set_read_listed_and_deleted(door, client):
    equal((await door.call(PUSH + "set", EXAMPLE))["result"], EXAMPLE, "set")
    equal((await door.call(PUSH + "get", {"taskId": "task-123"}))["result"], EXAMPLE, "get")
    other = EXAMPLE | {"taskId": "task-124", "url": "https://my-app.test/other"}
    equal((await door.call(PUSH + "set", other))["result"], other, "set of another task")
    # A later one replaces the one before.
    changed = EXAMPLE | {"url": "https://my-app.test/changed"}
    equal((await door.call(PUSH + "set", changed))["result"], changed, "set again")
    equal((await door.call(PUSH + "get", {"taskId": "task-123"}))["result"], changed, "get of the changed one")
    configs = (await door.call(PUSH + "list", {}))["result"]["configs"]
    equal([config for config in configs if config["taskId"] == "task-123"], [changed], "the task's in the list")
    holds(other in configs, f"the other one in the list: {configs}")
    for task_id in ("task-123", "task-124"):
        equal((await door.call(PUSH + "delete", {"taskId": task_id}))["result"], {"deleted": True}, "delete")
        is_error(await door.call(PUSH + "delete", {"taskId": task_id}), -32000, "Config not found")
        is_error(await door.call(PUSH + "get", {"taskId": task_id}), -32000, "Config not found")
    configs = (await door.call(PUSH + "list", {}))["result"]["configs"]
    holds(not any(config["taskId"].startswith("task-12") for config in configs), f"they are gone: {configs}")


@check
async def push_configs_need_a_task_and_a_url(door, client):
    for missing in ("taskId", "url"):
        params = {name: value for name, value in EXAMPLE.items() if name != missing}
        answer = await door.call(PUSH + "set", params)
        if door.dialect_is_known or missing == "taskId":
            is_error(answer, -32602, "taskId and url required")
        else:
            # Without its url a flat config bears no mark.
            equal(answer["error"]["code"], -32602, f"code of {answer}")
            holds("url" in answer["error"]["message"], f"the field is named: {answer}")


@check
async def push_configs_keep_away_from_private_networks(door, client):
    for host in ("169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]"):
        answer = await door.call(PUSH + "set", EXAMPLE | {"url": f"http://{host}/hook"})
        is_error(answer, -32602)
        holds("url" in answer["error"]["message"], f"the field is named: {answer}")


@check
async def push_tells_of_a_task_until_it_is_done(door, client):
    with Hooks(TOKEN) as hooks:
        task_id = (await client.submit("slow: 4"))["result"]["id"]
        config = EXAMPLE | {"taskId": task_id, "url": hooks.url}
        equal((await door.call(PUSH + "set", config))["result"], config, "set")
        completed = lambda received: any(json.loads(body)["status"]["state"] == "completed" for *_, body in received)
        received = await hooks.until("completed", completed)
        status = (await finished(client, task_id))["status"]
        for answered, headers, body in received:
            equal(answered, 200, "the token and taskId are there")
            equal(headers["authorization"], "Bearer my-auth-token", "Authorization")
            equal(headers["content-type"], "application/json", "Content-Type")
            holds("webhook-signature" not in headers, f"there is no secret to sign with: {headers}")
            told = json.loads(body)
            equal(sorted(told), ["status", "taskId", "timestamp"], "members")
            equal(told["taskId"], task_id, "taskId")
            holds(told["status"]["state"] in STATES, f"a state of the dialect: {told}")
            equal(told["timestamp"], told["status"]["timestamp"], "timestamp")
        ids = [headers["webhook-id"] for _, headers, _ in received]
        equal(len(ids), len(set(ids)), "each event is told once")
        equal(json.loads(received[-1][2])["status"]["timestamp"], status["timestamp"], "the last one's timestamp")


@check
async def push_is_sent_again_to_a_receiver_that_has_learned_its_token(door, client):
    with Hooks("not known yet") as hooks:
        task_id = (await client.submit("slow: 2"))["result"]["id"]
        await door.call(PUSH + "set", EXAMPLE | {"taskId": task_id, "url": hooks.url})
        refused = await hooks.until("first attempt", len)
        equal(refused[0][0], 401, "answer")
        hooks.token = TOKEN
        received = await hooks.until("second attempt", lambda received: any(one[0] == 200 for one in received))
        again = next(one for one in received if one[0] == 200)
        equal(again[1]["webhook-id"], refused[0][1]["webhook-id"], "webhook-id")
        equal(again[2], refused[0][2], "body")
        equal((await door.call(PUSH + "delete", {"taskId": task_id}))["result"], {"deleted": True}, "delete")


@check
async def signatures_are_those_of_standard_webhooks(door, client):
    with Hooks() as hooks:
        webhook = command(door, "create", "--url", hooks.url)
        old = webhook["signingSecret"]
        await verified(client, hooks, [old])
        new = command(door, "update", webhook["id"], "--rotate-secret")["signingSecret"]
        holds(new != old, "the secret is a new one")
        holds("signingSecret" not in command(door, "get", webhook["id"]), "the secret is shown once")
        await verified(client, hooks, [old, new])
        command(door, "delete", webhook["id"])
        count = len(hooks.received)
        await client.send_message("hello")
        equal(len(hooks.received), count, "deliveries of a webhook that was removed")


async def verified(client, hooks, secrets):
    """Sends a task, and verifies every delivery about it with each of the secrets."""
    task_id = (await client.send_message("hello"))["result"]["id"]

    def completed(received):
        updates = [json.loads(body).get("statusUpdate", {}) for *_, body in received]
        mine = [update["status"]["state"] for update in updates if update.get("taskId") == task_id]
        return "TASK_STATE_COMPLETED" in mine

    about = lambda body: body.get("task", {}).get("id") == task_id or task_id in str(body)
    received = await hooks.until("completed", completed)
    received = [one for one in received if about(json.loads(one[2]))]
    equal([headers["a2a-event-sequence"] for _, headers, _ in received], ["1", "2", "3", "4"], "sequences")
    stranger = Webhook("whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBieXRlcw==")
    for _, headers, body in received:
        for secret in secrets:
            equal(Webhook(secret).verify(body, headers), json.loads(body), "what was verified")
            refuses(Webhook(secret), body.replace(b"TASK_STATE", b"TASK-STATE") + b" ", headers)
            refuses(Webhook(secret), body, headers | {"webhook-id": headers["webhook-id"] + "0"})
            refuses(Webhook(secret), body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)})
        refuses(stranger, body, headers)


def refuses(webhook, body, headers):
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return
    raise AssertionError(f"verified, although it was changed: {headers} {body}")
