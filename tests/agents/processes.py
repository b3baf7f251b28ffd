"""Starts and stops what the test needs: the agents and the gateway before them."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

# Of every start, in seconds (the SDKs take long to load when many do at once), and the pause between two looks.
LIMIT, PAUSE = 60, 0.05
HERE = Path(__file__).parent
# Not through a proxy that the environment may name.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_ports(count):
    """Ports that nobody listens on, all of them different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Process:
    """A program that is ready once a URL of it answers with 200; its output goes to a log."""

    def __init__(self, name, command, ready, log, environment):
        self.name, self.command, self.ready, self.log = name, command, ready, log
        self.environment = environment
        self.process = None

    def start(self):
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment
            )

    def wait_until_ready(self):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            # Refused connections, and other statuses, are both OSErrors here.
            with contextlib.suppress(OSError):
                with OPENER.open(self.ready, timeout=LIMIT):
                    return
            time.sleep(PAUSE)
        raise RuntimeError(f"{self.name} is not ready after {LIMIT} s:\n{self.tail()}")

    def kill(self):
        """Ends it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self):
        return "\n".join(f"  {line}" for line in self.said().splitlines()[-20:])


class Agent(Process):
    """An agent of one SDK behind one binding."""

    def __init__(self, name, program, directory, environments, binding="jsonrpc", keeps=False, full=True):
        port, grpc_port = free_ports(2)
        # Whether it keeps its tasks over a restart, and whether it streams, asks, replies and says why it failed.
        self.keeps, self.full = keeps, full
        self.url = f"http://127.0.0.1:{port}"
        options = ["--binding", binding, "--port", str(port), "--grpc-port", str(grpc_port)]
        if keeps:
            options += ["--store", str(directory / f"{name}.db")]
        kind = program.stem.removeprefix("agent_")
        if program.suffix == ".mjs":
            # Modules are found beside the program only.
            program = environments / kind / program.name
            command = ["node", str(program)]
        else:
            command = [str(environments / kind / "bin" / "python"), str(program)]
        card = "agent-card.json" if full else "agent.json"
        ready = f"{self.url}/.well-known/{card}"
        super().__init__(name, command + options, ready, directory / f"{name}.log", dict(os.environ))


class Gateway(Process):
    """The gateway with some agents behind it, on a free port and with a data directory of its own."""

    def __init__(self, binary, directory, agents):
        (port,) = free_ports(1)
        self.origin = f"http://127.0.0.1:{port}"
        command = [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(directory / "data")]
        for agent in agents:
            command += ["--agent", f"{agent.name}={agent.url}"]
        # Settings of whoever runs this are not the gateway's; nor is the name of its binary a setting.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("A2A_GATEWAY_")}
        super().__init__("the gateway", command, f"{self.origin}/readyz", directory / "gateway.log", environment)
