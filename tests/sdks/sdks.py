"""The official client SDKs, unchanged, against one gateway: every scenario on every binding that each of them has.

Usage: sdks.py GATEWAY_BINARY ENVIRONMENTS [--markdown FILE] CLIENT...
"""

import argparse
import concurrent.futures
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from clients import BINDINGS, SDKS, Client, Lacking
from processes import Process, free_ports
from receiver import Receiver
from scenarios import SCENARIOS

# Clients at once: they mostly wait for the agent.
AT_ONCE = 4


class Gateway(Process):
    """The gateway with its built-in agent, which may send webhooks to this machine."""

    def __init__(self, binary, directory):
        (port,) = free_ports(1)
        self.origin = f"http://127.0.0.1:{port}"
        command = [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(directory / "data")]
        command += ["--webhook-allow", "127.0.0.0/8"]
        # Settings of whoever runs this are not the gateway's; nor is the name of its binary a setting.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("A2A_GATEWAY_")}
        super().__init__("the gateway", command, f"{self.origin}/readyz", directory / "gateway.log", environment)


def attempt(function, client, receiver):
    """Runs one scenario; tells what came of it, and why if it did not pass."""
    try:
        function(client, receiver)
    except Lacking as lacking:
        return "-", str(lacking)
    except Exception as error:  # any failure of a scenario is that scenario's, and the next ones still run
        return "failed", f"{type(error).__name__}: {error}"
    return "passed", ""


class Run:
    """What came of everything: (client, binding, scenario) -> (outcome, why)."""

    def __init__(self, names):
        self.columns = [(name, binding) for name in names for binding in SDKS[name].bindings]
        self.names, self.cells = names, {}

    def column(self, column, origin, environments, directory, receiver):
        """Puts one SDK on one binding through every scenario."""
        name, binding = column
        with Client(name, binding, origin, environments, directory / f"{name}-{binding}.log") as client:
            for scenario, function in SCENARIOS.items():
                outcome, why = attempt(function, client, receiver)
                self.cells[name, binding, scenario] = outcome, why
                print(f"{name} {binding} {scenario}: {outcome}{why and f' ({why})'}", flush=True)

    def outcomes(self, name, binding=None, scenario=None):
        """binding -> outcome of a scenario, or scenario -> outcome on a binding."""
        of = lambda key: self.cells[key][0]
        if binding is None:
            return {binding: of((name, binding, scenario)) for binding in SDKS[name].bindings}
        return {scenario: of((name, binding, scenario)) for scenario in SCENARIOS}

    def by_binding(self):
        """Client × binding: how many scenarios passed, and which failed."""
        yield ["client", "protocol", *BINDINGS]
        for name in self.names:
            yield [SDKS[name].title, SDKS[name].protocol, *(self.on(name, binding) for binding in BINDINGS)]

    def on(self, name, binding):
        if binding not in SDKS[name].bindings:
            return "-"
        outcomes = self.outcomes(name, binding)
        failed = [scenario for scenario, outcome in outcomes.items() if outcome == "failed"]
        passed = f"passed ({list(outcomes.values()).count('passed')})"
        return f"failed: {', '.join(failed)}" if failed else passed

    def by_scenario(self):
        """Scenario × client: the outcome, with the bindings where it is not the same on all."""
        yield ["scenario", *self.names]
        for scenario in SCENARIOS:
            yield [scenario, *(merged(self.outcomes(name, scenario=scenario)) for name in self.names)]

    def counts(self):
        outcomes = [outcome for outcome, _ in self.cells.values()]
        return outcomes.count("passed"), outcomes.count("failed")


def merged(outcomes):
    if len(set(outcomes.values())) == 1:
        return next(iter(outcomes.values()))
    return ", ".join(f"{binding} {outcome}" for binding, outcome in outcomes.items())


def plain(table):
    rows = list(table)
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(table):
    head, *rows = table
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def run_all(run, binary, environments, directory):
    gateway = Gateway(binary, directory)
    with Receiver() as receiver, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            gateway.start()
            gateway.wait_until_ready()
            one = lambda column: run.column(column, gateway.origin, environments, directory, receiver)
            list(pool.map(one, run.columns))
        finally:
            gateway.kill()


def main():
    # The gateway is ended on the way out, also when this is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("environments", type=Path)
    parser.add_argument("clients", nargs="+", choices=SDKS, metavar="CLIENT")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    run, started = Run(given.clients), time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="sdks-") as directory:
            run_all(run, given.binary, given.environments, Path(directory))
    except (OSError, RuntimeError) as error:
        print(f"FAILED: {error}\n0 passed, 1 failed")
        return 1
    for table in (run.by_binding(), run.by_scenario()):
        print(f"\n{plain(table)}")
    if given.markdown:
        tables = [markdown(table) for table in (run.by_binding(), run.by_scenario())]
        given.markdown.write_text("\n\n".join(tables) + "\n")
    print(f"\n{time.monotonic() - started:.0f} s")
    passed, failed = run.counts()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
