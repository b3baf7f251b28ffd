"""Real agents, built with the official SDKs and with PraisonAI's, behind a gateway: every scenario through both doors.

Usage: real_agents.py GATEWAY_BINARY ENVIRONMENTS [AGENT...]; without agents: all of them. `echo` is the gateway's own.
"""

import concurrent.futures
import signal
import sys
import tempfile
import time
from pathlib import Path

from doors import GrpcDoor, JsonDoor
from processes import HERE, Agent, Gateway
from scenarios import STEPS, AgentRestart, GatewayRestart, Row, Skipped

PY1, PY03, JS1 = (HERE / name for name in ("agent_py1.py", "agent_py03.py", "agent_js1.mjs"))
AGENTS = {
    "py1-jsonrpc": {"program": PY1, "keeps": True},
    "py1-grpc": {"program": PY1, "binding": "grpc"},
    "py1-rest": {"program": PY1, "binding": "rest"},
    "py03-jsonrpc": {"program": PY03, "keeps": True},
    "py03-grpc": {"program": PY03, "binding": "grpc"},
    "py03-rest": {"program": PY03, "binding": "rest"},
    "js1-jsonrpc": {"program": JS1},
    "js1-grpc": {"program": JS1, "binding": "grpc"},
    "js1-rest": {"program": JS1, "binding": "rest"},
    "praison": {"program": HERE / "agent_praison.py", "full": False},
}
RESTARTS = {"gateway restart": GatewayRestart, "agent restart": AgentRestart}


class Table:
    """What came of every scenario: passed, failed or - where the agent's SDK cannot do it."""

    def __init__(self):
        self.cells, self.failures = {}, []

    def note(self, row, scenario, outcome, error=None):
        self.cells[row.name, row.door.name, scenario] = outcome
        if error is not None:
            self.failures.append(f"FAILED {scenario} of {row.name} by {row.door.name}: {type(error).__name__}: {error}")

    def attempt(self, row, scenario, function):
        """Runs one scenario, or a part of one; tells whether it went well."""
        try:
            function(row)
        except Skipped:
            self.note(row, scenario, "-")
        except Exception as error:  # any failure of a scenario is that scenario's, and the next ones still run
            self.note(row, scenario, "failed", error)
        else:
            self.note(row, scenario, "passed")
            return True
        return False

    def show(self, rows):
        scenarios = [*STEPS, *RESTARTS]
        lines = [["agent", "door", *scenarios]]
        for row in rows:
            cells = (self.cells.get((row.name, row.door.name, scenario), "") for scenario in scenarios)
            lines.append([row.name, row.door.name, *cells])
        widths = [max(map(len, column)) for column in zip(*lines)]
        for line in lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())

    def counts(self):
        outcomes = list(self.cells.values())
        return outcomes.count("passed"), outcomes.count("failed")


def in_order(table, rows):
    """The scenarios of one agent, one door after the other."""
    for row in rows:
        for name, function in STEPS.items():
            table.attempt(row, name, function)


def over_a_restart(table, pool, rows, scenario, processes):
    """Brings every row in the midst of a task, restarts some processes, and looks what became of the tasks."""
    runs = {row: RESTARTS[scenario]() for row in rows}
    begun = list(pool.map(lambda row: table.attempt(row, scenario, runs[row].before), rows))
    restart_all(processes)
    left = [row for row, good in zip(rows, begun) if good]
    list(pool.map(lambda row: table.attempt(row, scenario, runs[row].after), left))


def restart_all(processes):
    for process in processes:
        process.kill()
    for process in processes:
        process.start()
    for process in processes:
        process.wait_until_ready()


def run(binary, environments, names, directory, table):
    """Runs everything; fills the table and returns its rows."""
    real = [name for name in names if name != "echo"]
    agents = {name: Agent(name, directory=directory, environments=environments, **AGENTS[name]) for name in real}
    gateway = Gateway(binary, directory, agents.values())
    processes = [*agents.values(), gateway]
    grpc = GrpcDoor(gateway.origin, binary)
    per_agent = [[Row(name, agents.get(name), door) for door in (grpc, JsonDoor(gateway.origin))] for name in names]
    rows = [row for some in per_agent for row in some]
    pool = concurrent.futures.ThreadPoolExecutor(len(rows))
    try:
        restart_all(processes)
        list(pool.map(lambda some: in_order(table, some), per_agent))
        over_a_restart(table, pool, rows, "gateway restart", [gateway])
        over_a_restart(table, pool, rows, "agent restart", agents.values())
    finally:
        for process in processes:
            process.kill()
        # Whatever still waits for them ends now.
        grpc.close()
        pool.shutdown(cancel_futures=True)
        if table.failures:
            for process in processes:
                print(f"The log of {process.name} ends:\n{process.tail()}")
    return rows


def main():
    # The agents and the gateway are ended on the way out, also when this is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    binary, environments, *names = sys.argv[1:]
    names = names or list(AGENTS)
    started, table = time.monotonic(), Table()
    try:
        with tempfile.TemporaryDirectory(prefix="agents-") as directory:
            rows = run(binary, Path(environments), names, Path(directory), table)
    except (OSError, RuntimeError) as error:
        print(f"FAILED: {error}\n0 passed, 1 failed")
        return 1
    for failure in table.failures:
        print(failure)
    table.show(rows)
    print(f"{time.monotonic() - started:.0f} s")
    passed, failed = table.counts()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
