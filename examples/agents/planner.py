"""An A2A agent made with the official Python SDK: it asks where to, then streams a plan, one line a second.

    pip install a2a-sdk uvicorn starlette sse-starlette
    python planner.py 9001
"""

import asyncio
import sys

import uvicorn
from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette

PORT = int(sys.argv[1])
DAYS = 10


class Planner(AgentExecutor):
    async def execute(self, context, event_queue):
        begins = context.current_task is None
        if begins:
            task = new_task_from_user_message(context.message)
            task.id, task.context_id = context.task_id, context.context_id
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        if begins:
            await updater.requires_input(updater.new_agent_message([new_text_part("Where to?")]))
            return
        place = context.get_user_input()
        for day in range(1, DAYS + 1):
            await asyncio.sleep(1)
            line = f"Day {day}: see more of {place}.\n"
            await updater.add_artifact(
                [new_text_part(line)], artifact_id="plan", append=day > 1, last_chunk=day == DAYS
            )
        await updater.complete()

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


card = AgentCard(
    name="Planner",
    description="Plans a journey.",
    version="1",
    supported_interfaces=[
        AgentInterface(url=f"http://127.0.0.1:{PORT}/", protocol_binding="JSONRPC", protocol_version="1.0")
    ],
    capabilities=AgentCapabilities(streaming=True),
    default_input_modes=["text/plain"],
    default_output_modes=["text/plain"],
    skills=[AgentSkill(id="plan", name="Plan", description="Plans a journey, day by day.", tags=["travel"])],
)
handler = DefaultRequestHandler(agent_executor=Planner(), task_store=InMemoryTaskStore(), agent_card=card)
app = Starlette(routes=create_agent_card_routes(card) + create_jsonrpc_routes(handler, "/"))
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
