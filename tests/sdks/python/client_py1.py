"""a2a-sdk 1.x as a client. Usage: client_py1.py ORIGIN JSON-RPC|gRPC|REST. See lines.py for what it reads and says."""

import asyncio
import sys

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types.a2a_pb2 import (
    AuthenticationInfo,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from lines import TIMEOUT, serve, take

BINDINGS = {"JSON-RPC": "JSONRPC", "gRPC": "GRPC", "REST": "HTTP+JSON"}


def state(number):
    return TaskState.Name(number).removeprefix("TASK_STATE_").lower().replace("_", "-")


def texts(parts):
    return [part.text for part in parts]


def task(of):
    return {
        "kind": "task",
        "id": of.id,
        "contextId": of.context_id,
        "state": state(of.status.state),
        "text": "".join(texts(of.status.message.parts)),
        "artifacts": [{"id": each.artifact_id, "parts": texts(each.parts)} for each in of.artifacts],
        "history": [
            {"id": each.message_id, "role": Role.Name(each.role)[5:].lower(), "text": "".join(texts(each.parts))}
            for each in of.history
        ],
    }


def event(of):
    kind = of.WhichOneof("payload")
    if kind == "task":
        return task(of.task)
    if kind == "message":
        return {"kind": "message", "text": "".join(texts(of.message.parts))}
    if kind == "status_update":
        update = of.status_update
        told = {"kind": "status", "state": state(update.status.state), "text": "".join(texts(update.status.message.parts))}
    else:
        update = of.artifact_update
        told = {"kind": "artifact", "artifactId": update.artifact.artifact_id, "parts": texts(update.artifact.parts)}
        told |= {"append": update.append, "last": update.last_chunk}
    return told | {"taskId": update.task_id, "contextId": update.context_id}


def config(of):
    told = {"taskId": of.task_id, "id": of.id, "url": of.url, "token": of.token}
    return told | {"scheme": of.authentication.scheme, "credentials": of.authentication.credentials}


def to_config(id, url, token, scheme, credentials, taskId=""):
    authentication = AuthenticationInfo(scheme=scheme, credentials=credentials)
    return TaskPushNotificationConfig(task_id=taskId, id=id, url=url, token=token, authentication=authentication)


class Operations:
    def __init__(self, card, calling, streaming):
        self.about, self.calling, self.streaming = card, calling, streaming

    def __getitem__(self, name):
        return getattr(self, name)

    async def card(self):
        card = self.about
        capabilities = {"streaming": card.capabilities.streaming, "push": card.capabilities.push_notifications}
        return {"name": card.name, "skills": [skill.id for skill in card.skills], **capabilities}

    def _request(self, text, messageId, taskId="", contextId="", wait=True, push=None):
        message = Message(
            message_id=messageId, role=Role.ROLE_USER, parts=[Part(text=text)], task_id=taskId, context_id=contextId
        )
        configuration = SendMessageConfiguration(return_immediately=not wait)
        if push:
            configuration.task_push_notification_config.CopyFrom(to_config(**push))
        return SendMessageRequest(message=message, configuration=configuration)

    async def send(self, **request):
        return [event(each) async for each in self.calling.send_message(self._request(**request))][0]

    async def stream(self, stopAfter=0, **request):
        return await take(self.streaming.send_message(self._request(**request)), event, stopAfter)

    async def subscribe(self, id, stopAfter=0):
        return await take(self.streaming.subscribe(SubscribeToTaskRequest(id=id)), event, stopAfter)

    async def get(self, id, historyLength=None):
        return task(await self.calling.get_task(GetTaskRequest(id=id, history_length=historyLength)))

    async def cancel(self, id):
        return task(await self.calling.cancel_task(CancelTaskRequest(id=id)))

    async def list(self, contextId, pageSize, pageToken="", state="unspecified", artifacts=False):
        request = ListTasksRequest(context_id=contextId, page_size=pageSize, page_token=pageToken)
        request.status = TaskState.Value("TASK_STATE_" + state.upper().replace("-", "_"))
        request.include_artifacts = artifacts
        page = await self.calling.list_tasks(request)
        return {"tasks": [task(each) for each in page.tasks], "next": page.next_page_token, "total": page.total_size}

    async def pushSet(self, **given):
        return config(await self.calling.create_task_push_notification_config(to_config(**given)))

    async def pushGet(self, taskId, id):
        request = GetTaskPushNotificationConfigRequest(task_id=taskId, id=id)
        return config(await self.calling.get_task_push_notification_config(request))

    async def pushList(self, taskId):
        request = ListTaskPushNotificationConfigsRequest(task_id=taskId)
        return [config(each) for each in (await self.calling.list_task_push_notification_configs(request)).configs]

    async def pushDelete(self, taskId, id):
        request = DeleteTaskPushNotificationConfigRequest(task_id=taskId, id=id)
        await self.calling.delete_task_push_notification_config(request)


async def main():
    origin, binding = sys.argv[1:]
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        card = await A2ACardResolver(http, origin).get_agent_card()
        clients = []
        for streaming in (False, True):
            chosen = ClientConfig(
                streaming=streaming,
                httpx_client=http,
                supported_protocol_bindings=[BINDINGS[binding]],
                grpc_channel_factory=grpc.aio.insecure_channel,
            )
            clients.append(ClientFactory(chosen).create(card))
        async with clients[0], clients[1]:
            await serve(Operations(card, *clients), lambda error: type(error).__name__)


asyncio.run(main())
