#!/usr/bin/env python3
"""As much of RabbitMQ's management API as Vault's engine of that name asks for: users come and go. It is there because
that engine is built into every Vault, needs nothing else, and its leases can be renewed.

usage: rabbitmq.py PORT-FILE"""

import http.server
import os
import sys

USERS = set()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/api/users/"):
            USERS.add(self.path)
        self.answer(201)

    def do_DELETE(self):
        known = self.path in USERS
        USERS.discard(self.path)
        self.answer(204 if known else 404)

    def do_GET(self):
        self.answer(200, b"[]")

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w", encoding="ascii") as file:
    file.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
