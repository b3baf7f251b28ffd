"""Receives webhooks, told apart by the path they are sent to."""

import collections
import http.server
import json
import threading
import time

# Of every wait, in seconds, and the pause between two looks.
LIMIT, PAUSE = 30, 0.02


class Receiver(http.server.ThreadingHTTPServer):
    """A server on a free port that keeps what it gets: path -> [(headers, body)]."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.received = collections.defaultdict(list)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": PAUSE})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def until(self, path, enough, what):
        """Waits until what came at a path is enough; returns it."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            received = list(self.received[f"/{path}"])
            if enough([body for _, body in received]):
                return received
            time.sleep(PAUSE)
        raise AssertionError(f"no {what} within {LIMIT} s: {self.received[f'/{path}']}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received[self.path].append((headers, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""
