"""Signed cards, public and extended, read and verified by the official SDKs.

Usage: verify.py GATEWAY_BINARY VERIFY_MJS
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from a2a.client import A2ACardResolver, AuthInterceptor, ClientConfig, ClientFactory, CredentialService
from a2a.client.card_resolver import parse_agent_card
from a2a.client.errors import A2AClientError
from a2a.types import GetExtendedAgentCardRequest
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt import PyJWK

LIMIT = 30
TOKEN = "t-0123456789"
WELL_KNOWN = "/.well-known/agent-card.json"
KEYS = {"ES256": lambda: ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate}
# With what is not ASCII, numbers of several kinds, and what is empty.
EXTENDED = {
    "description": "Für Freunde \N{GRINNING FACE}.",
    "capabilities": {"extensions": [{"uri": "https://x.test", "params": {"a": 1, "b": 0.5, "c": 1e21, "é": None, "e": []}}]},
    "skills": [{"id": "more", "name": "More", "description": "", "tags": []}],
}


class Token(CredentialService):
    """The token for whatever scheme a card names."""

    async def get_credentials(self, security_scheme_name, context):
        return TOKEN


@contextlib.contextmanager
def gateway(binary, algorithm):
    """A gateway that signs with a new key; its URL."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        directory = Path(name)
        pem = KEYS[algorithm]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "key.pem").write_bytes(pem)
        (directory / "extended.json").write_text(json.dumps(EXTENDED))
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        (directory / "gateway.toml").write_text(f"""
            [server]
            listen = "{listen}"
            public_url = "http://{listen}"
            [store]
            data_dir = "{directory / 'data'}"
            [cards]
            extended_tokens = ["env:CARD_TOKEN"]
            signing_keys = ["{directory / 'key.pem'}"]
            [[agents]]
            name = "echo"
            url = "echo:"
            extended_card = "{directory / 'extended.json'}"
        """)
        command = [binary, "serve", "--config", str(directory / "gateway.toml"), "--log-level", "error"]
        process = subprocess.Popen(command, env={**os.environ, "CARD_TOKEN": TOKEN})
        try:
            end = time.monotonic() + LIMIT
            while True:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://{listen}/readyz", trust_env=False).raise_for_status()
                    break
                if time.monotonic() > end or process.poll() is not None:
                    raise RuntimeError("the gateway does not start")
                time.sleep(0.05)
            yield f"http://{listen}"
        finally:
            process.kill()
            process.wait()


def verifier(algorithm):
    def key(kid, jku):
        keys = httpx.get(jku, trust_env=False).raise_for_status().json()["keys"]
        return PyJWK(next(key for key in keys if key["kid"] == kid))

    return create_signature_verifier(key, [algorithm])


async def public(url, algorithm, http):
    """As the SDK's resolver reads it, with and without a version; a changed card is refused."""
    for headers in ({}, {"A2A-Version": "1.0"}):
        resolver = A2ACardResolver(http, url)
        await resolver.get_agent_card(http_kwargs={"headers": headers}, signature_verifier=verifier(algorithm))
    card = (await http.get(url + WELL_KNOWN)).json()
    card["name"] = "somebody else"
    try:
        verifier(algorithm)(parse_agent_card(card))
    except InvalidSignaturesError:
        return
    raise AssertionError("a changed card verifies")


def extended(binding):
    async def check(url, algorithm, http):
        """With the SDK's own way to add credentials, by what the public card says; without them it is refused."""
        card = await A2ACardResolver(http, url).get_agent_card()
        factory = ClientFactory(ClientConfig(httpx_client=http, supported_protocol_bindings=[binding]))
        client = factory.create(card, interceptors=[AuthInterceptor(Token())])
        own = await client.get_extended_agent_card(GetExtendedAgentCardRequest(), signature_verifier=verifier(algorithm))
        assert own.description == EXTENDED["description"] and own.skills[-1].id == "more", own
        try:
            await factory.create(card).get_extended_agent_card(GetExtendedAgentCardRequest())
        except A2AClientError as error:
            assert "401" in str(error), error
        else:
            raise AssertionError("the extended card is shown to all")

    return check


def node(program, path, token=""):
    async def check(url, algorithm, http):
        subprocess.run(["node", program, url + path, *filter(None, [token])], check=True, timeout=LIMIT)

    return check


async def main(binary, program):
    checks = {
        "Python: public card": public,
        "Python: extended card, JSON-RPC": extended("JSONRPC"),
        "Python: extended card, REST": extended("HTTP+JSON"),
        "JavaScript: public card": node(program, WELL_KNOWN),
        "JavaScript: extended card": node(program, "/extendedAgentCard", TOKEN),
    }
    passed = failed = 0
    for algorithm in KEYS:
        with gateway(binary, algorithm) as url:
            for name, check in checks.items():
                try:
                    async with httpx.AsyncClient(trust_env=False) as http:
                        await check(url, algorithm, http)
                    passed += 1
                    print(f"passed {algorithm} {name}")
                except Exception as error:  # any failure of a check is that check's, and the next ones still run
                    failed += 1
                    print(f"FAILED {algorithm} {name}: {type(error).__name__}: {error}")
    print(f"{passed} passed, {failed} failed")
    return failed == 0


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(*sys.argv[1:])) else 1)
