"""Runs the conformance kit of A2A 1.0 in several passes and compares what fails with the deviations that are known.

Usage: v1.py CHECKOUT GATEWAY, with a Python that has what the kit needs. See README.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "agents"))
from processes import LIMIT as START_LIMIT  # noqa: E402
from processes import OPENER, PAUSE, Gateway, Process, free_ports  # noqa: E402

# The longest that one pass may take, in seconds.
PASS_LIMIT = 600
# The kit reads the card without saying its version and takes nothing in it that 1.0 has not; its receiver of webhooks is
# on this machine; and some of its tests wait for the end of streams of tasks that wait.
SETTINGS = {"server.merged_card": "false", "webhooks.allow": "localhost", "server.auth_required_idle": "2s"}


@dataclass
class Pass:
    """A run of some of the kit's tests against a gateway with some settings."""

    name: str
    # What the gateway and its agent are like beyond SETTINGS.
    settings: dict
    agent: list
    # Which tests, as pytest's -k has it; empty: all.
    tests: str = ""


PASSES = [
    Pass("all tests", {}, []),
    # What the kit skips where a capability is there.
    Pass("without webhooks", {"webhooks.enabled": "false"}, [], "push"),
]


class Agent(Process):
    def __init__(self, directory, options):
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, str(HERE / "v1_agent.py"), str(port), *options]
        super().__init__("scenarios", command, self.url, directory / "agent.log", dict(os.environ))


def run(one, checkout, binary, directory):
    """The lines that the recorder wrote in a pass."""
    agent = Agent(directory, one.agent)
    gateway = Gateway(binary, directory, [agent])
    for key, value in {**SETTINGS, **one.settings}.items():
        gateway.command += ["--set", f"{key}={value}"]
    record = directory / "record.jsonl"
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "CONFORMANCE_RECORD": str(record), "PYTHONPATH": path}
    command = [sys.executable, "-m", "pytest", "tests/compatibility", "--sut-host", gateway.origin, "--quiet"]
    command += ["-p", "v1_recorder", "-p", "no:cacheprovider", *(["-k", one.tests] if one.tests else [])]
    output = directory / "kit.log"
    try:
        for process in (agent, gateway):
            process.start()
            process.wait_until_ready()
        wait_for_card(gateway)
        with output.open("w") as log:
            how = {"cwd": checkout, "env": environment, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            subprocess.run(command, timeout=PASS_LIMIT, check=False, **how)
    finally:
        gateway.kill()
        agent.kill()
    if not record.exists():
        raise RuntimeError(f"the kit ran no test:\n{output.read_text()}")
    return [json.loads(line) for line in record.read_text().splitlines()]


def wait_for_card(gateway):
    """A gateway is ready before it has read the cards of its agents."""
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        with OPENER.open(f"{gateway.origin}/.well-known/agent-card.json", timeout=START_LIMIT) as answer:
            if json.load(answer)["skills"]:
                return
        time.sleep(PAUSE)
    raise RuntimeError(f"the gateway does not find its agent:\n{gateway.tail()}")


def merged(passes):
    """The tests by name: what one pass skips, another may run, and a failure in any counts."""
    rank = {"skipped": 0, "passed": 1, "failed": 2}
    tests = {}
    for line in (line for lines in passes for line in lines):
        known = tests.get(line["test"])
        if known is None or rank[line["outcome"]] > rank[known["outcome"]]:
            tests[line["test"]] = line
    return tests


def summary(tests):
    counts = Counter((line["binding"], line["level"], line["outcome"]) for line in tests.values())
    yield f"{'binding':<16}{'level':<8}{'passed':>8}{'failed':>8}{'skipped':>8}"
    for binding, level in sorted({(binding, level) for binding, level, _ in counts}):
        cells = [counts[binding, level, outcome] for outcome in ("passed", "failed", "skipped")]
        yield f"{binding:<16}{level:<8}" + "".join(f"{cell:>8}" for cell in cells)


def deviations(tests):
    """What does not pass of what is to pass, as the list of the known ones names it."""
    words = {"failed": "fails", "skipped": "skipped"}
    return {
        f"{words[line['outcome']]} {test}"
        for test, line in tests.items()
        if line["outcome"] in words and line["level"] != "MAY"
    }


def main():
    checkout, binary = Path(sys.argv[1]), sys.argv[2]
    lines = []
    for one in PASSES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            lines.append(run(one, checkout, binary, Path(directory)))
        print(f"{one.name}: {len(lines[-1])} tests in {time.monotonic() - began:.0f} s", flush=True)
    tests = merged(lines)
    print(*summary(tests), sep="\n")
    known = {line for line in (HERE / "v1_known.txt").read_text().splitlines() if line and not line.startswith("#")}
    found = deviations(tests)
    for deviation in sorted(found - known):
        print(f"NEW: {deviation}\n  {tests[deviation.split(' ', 1)[1]]['reason'].strip()}")
    for deviation in sorted(known - found):
        print(f"GONE: {deviation}")
    outcomes = Counter(line["outcome"] for line in tests.values())
    print(f"{outcomes['passed']} passed, {outcomes['failed']} failed, {outcomes['skipped']} skipped, "
          f"{'as known' if found == known else 'not as known: see docs/conformance.md'}")
    sys.exit(0 if found == known else 1)


if __name__ == "__main__":
    main()
