"""A PraisonAI agent, served by PraisonAI's own A2A server.

    pip install praisonaiagents fastapi uvicorn
    python poet.py 9002

With a model and its key, the agent is `Agent(name="Poet", instructions="You write haiku.")` of praisonaiagents. Here
an object without a model stands in for it: the server only needs its name, its role and `chat`.
"""

import sys
import time

import uvicorn
from fastapi import FastAPI
from praisonaiagents.ui.a2a import A2A

PORT = int(sys.argv[1])


class Poet:
    name = "Poet"
    role = "Writes haiku"

    def chat(self, text):
        time.sleep(3)
        return f"{text},\nno model was asked for this:\nthe season's first words."


app = FastAPI()
app.include_router(A2A(agent=Poet(), url=f"http://127.0.0.1:{PORT}/a2a").get_router())
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
