"""An agent built with a2a-sdk 1.x, served over one binding of A2A 1.0. See directives.py for what it does."""

import asyncio

import directives
import grpc.aio
import uvicorn
from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import DatabaseTaskStore, InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2_grpc
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    ListTasksRequest,
    Role,
    TaskState,
)
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette

BINDINGS = {"jsonrpc": "JSONRPC", "grpc": "GRPC", "rest": "HTTP+JSON"}
UNSETTLED = (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)


class Directed(AgentExecutor):
    async def execute(self, context, event_queue):
        word, rest = directives.parse(context.get_user_input())
        if word == "message":
            reply = new_text_message(rest, context_id=context.context_id, role=Role.ROLE_AGENT)
            await event_queue.enqueue_event(reply)
            return
        if context.current_task is None:
            task = new_task_from_user_message(context.message)
            task.id, task.context_id = context.task_id, context.context_id
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        say = lambda text: updater.new_agent_message([new_text_part(text)])
        await updater.start_work()
        if word == "ask":
            await updater.requires_input(say(rest))
        elif word == "fail":
            await updater.failed(say(rest))
        else:
            texts = directives.chunks(rest) if word == "slow" else [f"Echo: {rest}"]
            for i, text in enumerate(texts):
                if word == "slow":
                    await asyncio.sleep(directives.PAUSE)
                await updater.add_artifact(
                    [new_text_part(text)], artifact_id="answer", append=i > 0, last_chunk=i + 1 == len(texts)
                )
            await updater.complete()

    async def cancel(self, context, event_queue):
        print(directives.CANCELED, flush=True)
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(options):
    if options.binding == "grpc":
        url = f"127.0.0.1:{options.grpc_port}"
    else:
        url = f"http://127.0.0.1:{options.port}" + ("/" if options.binding == "jsonrpc" else "")
    return AgentCard(
        name="py1",
        description="Obeys the directives of the test.",
        version="1",
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=BINDINGS[options.binding], protocol_version="1.0")
        ],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="directives", name="Directives", description="Does as told.", tags=["test"])],
    )


async def fail_interrupted(store):
    """Settles what was under way when the agent was stopped: nobody else would."""
    context = ServerCallContext()
    for task in (await store.list(ListTasksRequest(page_size=100), context)).tasks:
        if task.status.state in UNSETTLED:
            task.status.state = TaskState.TASK_STATE_FAILED
            why = new_text_message(
                directives.INTERRUPTED, context_id=task.context_id, task_id=task.id, role=Role.ROLE_AGENT
            )
            task.status.message.CopyFrom(why)
            await store.save(task, context)


async def main():
    options = directives.arguments()
    store = InMemoryTaskStore()
    if options.store:
        store = DatabaseTaskStore(create_async_engine(f"sqlite+aiosqlite:///{options.store}"))
        await store.initialize()
        await fail_interrupted(store)
    handler = DefaultRequestHandler(agent_executor=Directed(), task_store=store, agent_card=card(options))
    routes = create_agent_card_routes(card(options))
    if options.binding == "jsonrpc":
        routes += create_jsonrpc_routes(handler, "/")
    elif options.binding == "rest":
        routes += create_rest_routes(handler)
    else:
        server = grpc.aio.server()
        a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
        server.add_insecure_port(f"127.0.0.1:{options.grpc_port}")
        await server.start()
    config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=options.port, log_level="warning")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
