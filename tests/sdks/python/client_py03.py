"""a2a-sdk 0.3.x as a client. Usage: client_py03.py ORIGIN JSON-RPC|gRPC|REST. See lines.py for what it reads and says.

Its client neither lists tasks (A2A 0.3 has no such operation) nor lists or deletes push configs.
"""

import asyncio
import sys

import grpc
import httpx
from a2a.client import (
    A2ACardResolver,
    A2AClientHTTPError,
    ClientConfig,
    ClientFactory,
)
from a2a.client.errors import A2AClientJSONRPCError
from a2a.types import (
    GetTaskPushNotificationConfigParams,
    Message,
    MessageSendConfiguration,
    Part,
    PushNotificationAuthenticationInfo,
    PushNotificationConfig,
    Role,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TaskStatusUpdateEvent,
    TextPart,
)
from lines import TIMEOUT, serve, take

BINDINGS = {"JSON-RPC": "JSONRPC", "gRPC": "GRPC", "REST": "HTTP+JSON"}


def kind(error):
    """The JSON-RPC client tells a code, the REST client a status, the gRPC client raises gRPC's own error."""
    if isinstance(error, A2AClientJSONRPCError):
        return f"A2AClientJSONRPCError {error.error.code}"
    if isinstance(error, A2AClientHTTPError):
        return f"A2AClientHTTPError {error.status_code}"
    if isinstance(error, grpc.aio.AioRpcError):
        return f"AioRpcError {error.code().name}"
    return type(error).__name__


def texts(parts):
    return [part.root.text for part in parts]


def text(message):
    return "".join(texts(message.parts)) if message else ""


def task(of):
    return {
        "kind": "task",
        "id": of.id,
        "contextId": of.context_id,
        "state": of.status.state.value,
        "text": text(of.status.message),
        "artifacts": [{"id": each.artifact_id, "parts": texts(each.parts)} for each in of.artifacts or []],
        "history": [{"id": each.message_id, "role": each.role.value, "text": text(each)} for each in of.history or []],
    }


def event(of):
    """The client gives each update beside the task that it has made of all so far."""
    if isinstance(of, Message):
        return {"kind": "message", "text": text(of)}
    whole, update = of
    if update is None:
        return task(whole)
    if isinstance(update, TaskStatusUpdateEvent):
        told = {"kind": "status", "state": update.status.state.value, "text": text(update.status.message)}
    else:
        told = {"kind": "artifact", "artifactId": update.artifact.artifact_id, "parts": texts(update.artifact.parts)}
        told |= {"append": bool(update.append), "last": bool(update.last_chunk)}
    return told | {"taskId": update.task_id, "contextId": update.context_id}


def config(of):
    hook = of.push_notification_config
    told = {"taskId": of.task_id, "id": hook.id, "url": hook.url, "token": hook.token}
    return told | {"scheme": hook.authentication.schemes[0], "credentials": hook.authentication.credentials}


def to_config(id, url, token, scheme, credentials):
    authentication = PushNotificationAuthenticationInfo(schemes=[scheme], credentials=credentials)
    return PushNotificationConfig(id=id, url=url, token=token, authentication=authentication)


class Operations:
    def __init__(self, card, connect):
        self.about, self.connect = card, connect
        self.calling, self.streaming = connect(streaming=False), connect(streaming=True)

    def __getitem__(self, name):
        return getattr(self, name)

    async def card(self):
        card = self.about
        capabilities = {"streaming": card.capabilities.streaming, "push": card.capabilities.push_notifications}
        return {"name": card.name, "skills": [skill.id for skill in card.skills], **capabilities}

    def _send(self, client, text, messageId, taskId=None, contextId=None, wait=True, push=None):
        parts = [Part(root=TextPart(text=text))]
        message = Message(message_id=messageId, role=Role.user, parts=parts, task_id=taskId, context_id=contextId)
        if push:
            # A config of a single call is lost on its way to gRPC and REST; one of the client is not.
            client = self.connect(streaming=False, push_notification_configs=[to_config(**push)])
        return client.send_message(message, configuration=MessageSendConfiguration(blocking=wait))

    async def send(self, **request):
        return [event(each) async for each in self._send(self.calling, **request)][0]

    async def stream(self, stopAfter=0, **request):
        return await take(self._send(self.streaming, **request), event, stopAfter)

    async def subscribe(self, id, stopAfter=0):
        return await take(self.streaming.resubscribe(TaskIdParams(id=id)), event, stopAfter)

    async def get(self, id, historyLength=None):
        return task(await self.calling.get_task(TaskQueryParams(id=id, history_length=historyLength)))

    async def cancel(self, id):
        return task(await self.calling.cancel_task(TaskIdParams(id=id)))

    async def pushSet(self, taskId, **given):
        request = TaskPushNotificationConfig(task_id=taskId, push_notification_config=to_config(**given))
        return config(await self.calling.set_task_callback(request))

    async def pushGet(self, taskId, id):
        request = GetTaskPushNotificationConfigParams(id=taskId, push_notification_config_id=id)
        return config(await self.calling.get_task_callback(request))


async def main():
    origin, binding = sys.argv[1:]
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        card = await A2ACardResolver(http, origin).get_agent_card()

        def connect(**chosen):
            config = ClientConfig(
                httpx_client=http,
                supported_transports=[BINDINGS[binding]],
                grpc_channel_factory=grpc.aio.insecure_channel,
                **chosen,
            )
            return ClientFactory(config).create(card)

        await serve(Operations(card, connect), kind)


asyncio.run(main())
