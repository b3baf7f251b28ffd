"""An agent built with a2a-sdk 0.3.x, served over one binding of A2A 0.3. See directives.py for what it does."""

import asyncio

import directives
import grpc.aio
import uvicorn
from a2a.grpc import a2a_pb2_grpc
from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.tasks import DatabaseTaskStore, InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentSkill, Part, TaskState, TextPart, TransportProtocol
from a2a.utils import new_agent_text_message, new_task
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

BINDINGS = {"jsonrpc": TransportProtocol.jsonrpc, "grpc": TransportProtocol.grpc, "rest": TransportProtocol.http_json}
UNSETTLED = (TaskState.submitted, TaskState.working)


class Directed(AgentExecutor):
    async def execute(self, context, event_queue):
        word, rest = directives.parse(context.get_user_input())
        if word == "message":
            await event_queue.enqueue_event(new_agent_text_message(rest, context_id=context.context_id))
            return
        if context.current_task is None:
            await event_queue.enqueue_event(new_task(context.message))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        part = lambda text: Part(root=TextPart(text=text))
        await updater.start_work()
        if word == "ask":
            await updater.requires_input(updater.new_agent_message([part(rest)]), final=True)
        elif word == "fail":
            await updater.failed(updater.new_agent_message([part(rest)]))
        else:
            texts = directives.chunks(rest) if word == "slow" else [f"Echo: {rest}"]
            for i, text in enumerate(texts):
                if word == "slow":
                    await asyncio.sleep(directives.PAUSE)
                await updater.add_artifact(
                    [part(text)], artifact_id="answer", append=i > 0, last_chunk=i + 1 == len(texts)
                )
            await updater.complete()

    async def cancel(self, context, event_queue):
        print(directives.CANCELED, flush=True)
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(options):
    grpc_url, http_url = f"127.0.0.1:{options.grpc_port}", f"http://127.0.0.1:{options.port}"
    return AgentCard(
        name="py03",
        description="Obeys the directives of the test.",
        version="1",
        url=grpc_url if options.binding == "grpc" else http_url,
        preferred_transport=BINDINGS[options.binding],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="directives", name="Directives", description="Does as told.", tags=["test"])],
    )


async def fail_interrupted(store):
    """Settles what was under way when the agent was stopped: nobody else would."""
    async with store.async_session_maker() as session:
        ids = (await session.execute(select(store.task_model.id))).scalars().all()
    for task_id in ids:
        task = await store.get(task_id)
        if task.status.state in UNSETTLED:
            task.status.state = TaskState.failed
            task.status.message = new_agent_text_message(directives.INTERRUPTED, task.context_id, task.id)
            await store.save(task)


async def main():
    options = directives.arguments()
    store = InMemoryTaskStore()
    if options.store:
        store = DatabaseTaskStore(create_async_engine(f"sqlite+aiosqlite:///{options.store}"))
        await store.initialize()
        await fail_interrupted(store)
    handler = DefaultRequestHandler(agent_executor=Directed(), task_store=store)
    if options.binding == "rest":
        app = A2ARESTFastAPIApplication(card(options), handler).build()
    else:
        app = A2AStarletteApplication(card(options), handler).build()
    if options.binding == "grpc":
        server = grpc.aio.server()
        a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(card(options), handler), server)
        server.add_insecure_port(f"127.0.0.1:{options.grpc_port}")
        await server.start()
    config = uvicorn.Config(app, host="127.0.0.1", port=options.port, log_level="warning")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
