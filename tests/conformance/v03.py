"""Runs the kit's tests of A2A 0.3 over each transport, prints what came of them, and holds that to the list of known failures.

Usage: v03.py CHECKOUT_OF_THE_KIT GATEWAY_BINARY
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "agents"))

from processes import Process, free_ports  # noqa: E402

TRANSPORTS = ("jsonrpc", "grpc", "rest")
# The tests in the kit's directory of mandatory ones that its own runner runs in no category.
UNLISTED = "unlisted"
CATEGORIES = ("mandatory", "capabilities", "transport-equivalence", "quality", "features", UNLISTED)
OUTCOMES = ("passed", "failed", "skipped")
# These want a gateway without push notifications.
WITHOUT_PUSH = (
    "tests/mandatory/jsonrpc/test_a2a_error_codes.py::test_push_notification_not_supported_error_32003",
    "tests/mandatory/jsonrpc/test_a2a_error_codes_enhanced.py::test_push_notification_not_supported_error_32003_enhanced",
)
# This one compares the card with the extended one, which it asks for without a token, as who is behind a proxy may.
COMPARES_CARDS = "tests/mandatory/transport/test_multi_transport_equivalence.py::test_agent_card_access_equivalence"
# Of extended cards, which the kit does not send.
TOKEN = "cards.extended_tokens=nobody-sends-this"
# What the agent's extended card says beyond its card.
SKILL = {"id": "more", "name": "More", "description": "Is for those who may see it.", "tags": ["test"]}
# Of one test, in seconds.
LIMIT = 60


def category(test):
    """Which of the kit's categories a test is in, as its runner has it."""
    path = Path(test["nodeid"].partition("::")[0]).parts
    if path[1] == "mandatory":
        selected = {"mandatory_jsonrpc", "mandatory_protocol"} & set(test["keywords"])
        return "mandatory" if selected else UNLISTED
    return {"multi_transport": "transport-equivalence"}.get(path[2], path[2])


def outcome(test):
    """Expected failures (of the kit's) count as skipped, unexpected passes as passed, errors as failed."""
    names = {"xfailed": "skipped", "xpassed": "passed", "error": "failed"}
    return names.get(test["outcome"], test["outcome"])


class Kit:
    """The kit's tests, run by pytest in its checkout."""

    def __init__(self, checkout, directory):
        self.checkout, self.directory = checkout, directory

    def run(self, name, url, tests, options):
        """What came of the tests, by pytest's report."""
        report, log = (self.directory / f"kit-{name}.{kind}" for kind in ("json", "log"))
        command = [sys.executable, "-m", "pytest", *tests, f"--sut-url={url}", "--test-scope=all", "--tb=short", "-q"]
        command += ["-p", "no:cacheprovider", f"--timeout={LIMIT}", "--json-report", f"--json-report-file={report}"]
        with log.open("wb") as output:
            how = {"cwd": self.checkout, "stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            subprocess.run([*command, *options], check=False, **how)
        if not report.exists():
            raise RuntimeError(f"the kit wrote no report:\n{log.read_text(errors='replace')[-4000:]}")
        return json.loads(report.read_text())["tests"]


class Site:
    """The scenario agent with a gateway before it, which ends when the block does."""

    def __init__(self, binary, directory, name, settings):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("A2A_GATEWAY_")}
        agent_port, port = free_ports(2)
        agent_url = f"http://127.0.0.1:{agent_port}"
        agent = [sys.executable, str(HERE / "v03_agent.py"), str(agent_port)]
        self.agent = Process("the agent", agent, agent_url, directory / f"{name}-agent.log", environment)
        self.url = f"http://127.0.0.1:{port}/a2a"
        gateway = [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(directory / f"{name}-data")]
        gateway += ["--config", str(settings_file(directory, name, agent_url))]
        # The kit's gRPC client, and its test of cards, take URLs only.
        for setting in [f"server.grpc_url=http://127.0.0.1:{port}", *settings]:
            gateway += ["--set", setting]
        ready = f"http://127.0.0.1:{port}/readyz"
        self.gateway = Process("the gateway", gateway, ready, directory / f"{name}-gateway.log", environment)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for process in (self.agent, self.gateway):
                process.start()
                stack.callback(process.kill)
                process.wait_until_ready()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()


def settings_file(directory, name, agent_url):
    """The agent, with an extended card, as a table of the gateway's settings."""
    card, file = directory / f"{name}-extended.json", directory / f"{name}-gateway.toml"
    card.write_text(json.dumps({"skills": [SKILL]}))
    table = {"name": "scenarios", "url": agent_url, "extended_card": str(card)}
    # A text in JSON is one in TOML, too.
    file.write_text("[[agents]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    return file


def one_transport(kit, url, transport):
    options = [f"--transports={transport}", *(f"--deselect={test}" for test in (*WITHOUT_PUSH, COMPARES_CARDS))]
    options.append("--ignore=tests/optional/multi_transport")
    if transport != "jsonrpc":
        # As the kit's runner does.
        options.append("--ignore=tests/mandatory/jsonrpc")
    return kit.run(transport, url, ["tests/mandatory", "tests/optional"], options)


def results(kit, binary, directory):
    """What came of each test, over each transport: (transport, test) to the test's report."""
    with Site(binary, directory, "push", [TOKEN, "webhooks.allow=127.0.0.0/8"]) as site:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [(transport, pool.submit(one_transport, kit, site.url, transport)) for transport in TRANSPORTS]
        runs = [(transport, run.result()) for transport, run in runs]
        # Compares the transports with each other, and measures their times: by itself.
        runs.append(("all", kit.run("all", site.url, ["tests/optional/multi_transport"], ["-m", "transport_equivalence"])))
    with Site(binary, directory, "no-push", ["cards.extended_trust_proxy=true", "webhooks.enabled=false"]) as site:
        runs.append(("jsonrpc", kit.run("no-push", site.url, WITHOUT_PUSH, ["--transports=jsonrpc"])))
        for transport in TRANSPORTS:
            options = [f"--transports={transport}"]
            runs.append((transport, kit.run(f"cards-{transport}", site.url, [COMPARES_CARDS], options)))
    return {(transport, test["nodeid"]): test for transport, tests in runs for test in tests}


def show(found):
    counts = collections.Counter((transport, category(test), outcome(test)) for (transport, _), test in found.items())
    print(f"{'transport':<10} {'category':<22} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for transport in (*TRANSPORTS, "all"):
        for name in CATEGORIES:
            row = [counts[transport, name, result] for result in OUTCOMES]
            if any(row):
                print(f"{transport:<10} {name:<22} {row[0]:>7} {row[1]:>7} {row[2]:>8}")


def reason(test):
    crashes = (test.get(stage, {}).get("crash", {}) for stage in ("setup", "call", "teardown"))
    return next((crash["message"].splitlines()[0] for crash in crashes if crash.get("message")), "")


def known():
    """The failures that docs/conformance.md explains: (transport, test)."""
    lines = (line.split() for line in (HERE / "v03_known.txt").read_text().splitlines() if not line.startswith("#"))
    return {(transport, line[-1]) for line in lines if line for transport in line[0].split(",")}


def main():
    checkout, binary = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="a2a-conformance-") as directory:
        found = results(Kit(checkout, Path(directory)), binary, Path(directory))
    show(found)
    failed = {key for key, test in found.items() if outcome(test) == "failed"}
    expected = known()
    for transport, test in sorted(failed - expected):
        print(f"NEW over {transport}: {test}\n  {reason(found[transport, test])}")
    for transport, test in sorted(expected - failed):
        print(f"GONE over {transport}: {test}")
    outcomes = collections.Counter(outcome(test) for test in found.values())
    verdict = "as known" if failed == expected else "not as known: see docs/conformance.md"
    print(", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES) + f", {verdict}")
    return 0 if failed == expected else 1


if __name__ == "__main__":
    sys.exit(main())
