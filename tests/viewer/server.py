"""OHIF's files and the node's DICOMweb under one origin, as a hospital's web server would serve them."""

import http.server
import mimetypes
import threading
from pathlib import Path

import requests

CONFIGURATION = Path(__file__).with_name("app-config.js")
FORWARDED = ("Accept", "Range")
RETURNED = ("Content-Type", "Content-Range", "Accept-Ranges")

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("application/wasm", ".wasm")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET: `/dicomweb` from the node, everything else from the viewer's folder."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/dicomweb"):
            return self.forward()
        name = self.path.split("?")[0].lstrip("/")
        file = CONFIGURATION if name == "app-config.js" else self.server.viewer / name
        if not Path(name).suffix:
            file = self.server.viewer / "index.html"  # one of the viewer's own routes
        if not file.is_file():
            return self.reply(404, {}, b"")
        kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
        return self.reply(200, {"Content-Type": kind}, file.read_bytes())

    def forward(self):
        headers = {name: self.headers[name] for name in FORWARDED if name in self.headers}
        answer = requests.get(self.server.node + self.path, headers=headers, timeout=60)
        self.server.answers.append((self.path, answer.status_code))
        self.reply(answer.status_code, {name: answer.headers[name] for name in RETURNED if name in answer.headers}, answer.content)

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """The answers are kept; nothing is printed."""


class Server(http.server.ThreadingHTTPServer):
    """The viewer in `viewer` on the node at `node`, on a free loopback port; `answers` are the DICOMweb ones."""

    daemon_threads = True

    def __init__(self, viewer, node):
        super().__init__(("127.0.0.1", 0), Handler)
        self.viewer, self.node, self.answers = viewer, node, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()
