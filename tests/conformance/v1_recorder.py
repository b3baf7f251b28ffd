"""A plugin for the kit's pytest: writes a line for each test, with the level and the binding that it is about.

The kit's own report counts requirements, and a requirement that one test fails may be passed by another of its tests.
"""

import json
import os

LEVELS = ("must", "should", "may")
# By what the kit calls them in marks, parameters, directories and the ends of names.
BINDINGS = {"jsonrpc": "JSON-RPC", "grpc": "gRPC", "http_json": "REST", "rest": "REST"}
ANY = "card and others"


def level(item):
    return next((name.upper() for name in LEVELS if item.get_closest_marker(name)), "none")


def binding(item):
    named = getattr(item, "callspec", None) and item.callspec.params.get("transport")
    if named in BINDINGS:
        return BINDINGS[named]
    for name, called in BINDINGS.items():
        ends = item.originalname.endswith(f"_{name}")
        if ends or item.get_closest_marker(name) or f"/{name}/" in item.nodeid:
            return called
    # Classes about one binding say so.
    marks = {"JsonRpc": "JSON-RPC", "Grpc": "gRPC", "Rest": "REST"}
    return next((called for mark, called in marks.items() if mark in item.nodeid), ANY)


class Recorder:
    def __init__(self, path):
        self.path, self.about = path, {}

    def pytest_collection_modifyitems(self, items):
        self.about = {item.nodeid: {"level": level(item), "binding": binding(item)} for item in items}

    def pytest_runtest_logreport(self, report):
        if report.when == "teardown" and report.passed or report.when == "setup" and report.passed:
            return
        outcome, reason = report.outcome, ""
        if hasattr(report, "wasxfail"):
            # The kit marks what it only recommends as expected to fail.
            outcome, reason = "failed", report.wasxfail
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        elif report.failed:
            reason = getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr))
        line = {"test": report.nodeid, "outcome": outcome, "reason": reason, **self.about[report.nodeid]}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def pytest_configure(config):
    config.pluginmanager.register(Recorder(os.environ["CONFORMANCE_RECORD"]))
