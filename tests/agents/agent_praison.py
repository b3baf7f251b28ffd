"""PraisonAI's A2A server over an object of our own in the agent's place: no model is asked. See directives.py.

Its dialect has no way to ask for input and none to answer with a message: those directives are echoed like any text.
"""

import time

import directives
import uvicorn
from fastapi import FastAPI
from praisonaiagents.ui.a2a import A2A


class Directed:
    """What the server needs of an agent."""

    name = "praison"
    role = "Obeys the directives of the test"

    def chat(self, text):
        word, rest = directives.parse(text)
        if word == "fail":
            raise RuntimeError(rest)
        if word == "slow":
            time.sleep(rest * directives.PAUSE)
            return "".join(directives.chunks(rest))
        return f"Echo: {text}"


class Server(A2A):
    """As it is, but for a word on what it is asked."""

    def _handle_tasks_cancel(self, request_id, params):
        print(directives.CANCELED, flush=True)
        return super()._handle_tasks_cancel(request_id, params)


def main():
    options = directives.arguments()
    server = Server(agent=Directed(), url=f"http://127.0.0.1:{options.port}/a2a")
    app = FastAPI()
    app.include_router(server.get_router())
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
