"""The clients: what each SDK is, how its program is started and talked to, and how it names the protocol's errors.

A program takes operations as lines of JSON and answers each with a line: python/lines.py describes them.
"""

import json
import os
import re
import subprocess
import threading
from pathlib import Path

# Of every operation, in seconds: also of one that stays on a stream until its task is done, and of the first, which waits
# for the program to load.
LIMIT = 60
HERE = Path(__file__).parent
BINDINGS = ["JSON-RPC", "gRPC", "REST"]
ERRORS = ["TaskNotFound", "TaskNotCancelable", "UnsupportedOperation", "InvalidParams"]


class Refused(Exception):
    """The SDK raised an error."""

    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Lacking(Exception):
    """The SDK cannot do this."""


class Sdk:
    """A client SDK: its package and version, the protocol it speaks, and how it differs from what is asked of all.

    `lacks` says of operations and bindings why the SDK does not have them, `drops` which members it loses on which
    bindings, and `errors` how it names errors where that is not by a class of their own: by binding, or by binding and
    operation.
    """

    def __init__(self, title, listed, command, protocol="1.0", lacks=None, drops=None, errors=None):
        file, pattern = listed
        self.title = f"{title} {re.search(pattern, (HERE / file).read_text())[1]}"
        self.command, self.protocol, self.lacks = command, protocol, lacks or {}
        self.bindings = [binding for binding in BINDINGS if binding not in self.lacks]
        self._drops, self._errors = drops or {}, errors or {}

    def drops(self, binding, member):
        return binding in self._drops.get(member, ())

    def error(self, binding, operation, name):
        """How the SDK names an error of the protocol."""
        names = self._errors.get(binding, {}) | self._errors.get((binding, operation), {})
        return names.get(name, f"{name}Error")


def python(program, environment):
    return lambda environments: [str(environments / environment / "bin" / "python"), str(HERE / "python" / program)]


def javascript(program, environment):
    # Modules are found beside the program only.
    return lambda environments: ["node", str(environments / environment / "sdks" / program)]


def go(program):
    return lambda environments: [str(environments / "go" / program)]


def java(program):
    def command(environments):
        built = environments / "java03"
        return ["java", "-cp", f"{built / 'classes'}:{built / 'lib'}/*", program]

    return command


def named(form, *values):
    """A form for each of ERRORS."""
    return dict(zip(ERRORS, map(form.format, values)))


def malformed(name):
    return {binding: {"InvalidParams": name} for binding in BINDINGS}


NO_LIST = "A2A 0.3 has no such operation"
NOT_IN_CLIENT = "the SDK's client has no such operation"
SDKS = {
    "py1": Sdk(
        "Python: a2a-sdk", ("../agents/packages/py1.txt", r"a2a-sdk==(\S+)"), python("client_py1.py", "py1")
    ),
    "py03": Sdk(
        "Python: a2a-sdk",
        ("../agents/packages/py03.txt", r"a2a-sdk==(\S+)"),
        python("client_py03.py", "py03"),
        protocol="0.3",
        lacks={"list": NO_LIST, "pushList": NOT_IN_CLIENT, "pushDelete": NOT_IN_CLIENT},
        errors={
            "JSON-RPC": named("A2AClientJSONRPCError {}", -32001, -32002, -32004, -32602),
            "gRPC": named("AioRpcError {}", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "INVALID_ARGUMENT"),
            "REST": named("A2AClientHTTPError {}", 404, 409, 501, 422),
            # It takes every answer that is no stream for a 400.
            ("REST", "subscribe"): named("A2AClientHTTPError {}", 400, 400, 400, 400),
        },
    ),
    "js1": Sdk(
        "JavaScript: @a2a-js/sdk",
        ("../agents/packages/js1.txt", r"@a2a-js/sdk@(\S+)"),
        javascript("client_js1.mjs", "js1"),
        errors=malformed("RequestMalformedError"),
    ),
    "js03": Sdk(
        "JavaScript: @a2a-js/sdk",
        ("packages/js03.txt", r"@a2a-js/sdk@(\S+)"),
        javascript("client_js03.mjs", "js03"),
        protocol="0.3",
        lacks={"list": NO_LIST},
        drops={"append": ("gRPC", "REST")},
        errors={
            # It has no class for bad parameters, nor for an error that comes in a stream.
            "JSON-RPC": {"InvalidParams": "JSONRPCTransportError -32602"},
            ("JSON-RPC", "stream"): named("Error {}", -32001, -32002, -32004, -32602),
            ("JSON-RPC", "subscribe"): named("Error {}", -32001, -32002, -32004, -32602),
            # Over gRPC it knows what is not supported where it resubscribes only.
            "gRPC": {"InvalidParams": "Error 3", "UnsupportedOperation": "Error 12"},
            ("gRPC", "subscribe"): {"UnsupportedOperation": "UnsupportedOperationError"},
            "REST": {"InvalidParams": "Error -32602"},
        },
    ),
    "go1": Sdk("Go: a2a-go/v2", ("go/go.mod", r"a2a-go/v2 v(\S+)"), go("v1")),
    "go03": Sdk(
        "Go: a2a-go",
        ("go/go.mod", r"a2a-go v(\S+)"),
        go("v03"),
        protocol="0.3",
        lacks={"list": NO_LIST, "REST": "the SDK's client has no such binding"},
    ),
    "java03": Sdk(
        "Java: a2a-java-sdk",
        ("java/pom.xml", r"<a2a.version>([^<]+)"),
        java("Sdk03"),
        protocol="0.3",
        lacks={"list": NO_LIST},
        # It writes the length with a blank before it, and refuses the URL that it has made.
        drops={"historyLength": ("REST",)},
        errors={
            "gRPC": {"TaskNotCancelable": "StatusRuntimeException FAILED_PRECONDITION"},
            # It reads the class names that the Java server puts into errors, and fails where there are none.
            "REST": named("NullPointerException", *ERRORS),
            ("REST", "stream"): named("IOException", *ERRORS),
            ("REST", "subscribe"): named("IOException", *ERRORS),
        },
    ),
}


class Client:
    """One SDK on one binding: its program, which has read the gateway's card."""

    def __init__(self, name, binding, origin, environments, log):
        self.name, self.binding, self.sdk = name, binding, SDKS[name]
        # Nothing here is to go through a proxy that the environment may name.
        environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [*self.sdk.command(environments), origin, binding],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            )
        self.log = log

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def needs(self, *operations):
        for operation in operations:
            if operation in self.sdk.lacks:
                raise Lacking(self.sdk.lacks[operation])

    def call(self, operation, **request):
        """Has the SDK do something; returns what its user gets, or raises Refused."""
        self.needs(operation)
        timer = threading.Timer(LIMIT, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps({"op": operation, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            end = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"the program ended, or took longer than {LIMIT} s: {end}")
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"]["type"], answer["error"]["message"])
        return answer["result"]
