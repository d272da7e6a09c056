#!/usr/bin/env python3
"""Receives alerts as a webhook: writes each body on a line of FOLDER/webhook once its signature (by the key in
FOLDER/secret) is right, else "bad signature"; answers 500 and writes nothing while FOLDER/broken is there.

usage: webhook.py PORT-FILE FOLDER"""
import hashlib
import hmac
import http.server
import os
import sys

port_file, folder = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        broken = os.path.exists(folder + "/broken")
        with open(folder + "/secret", "rb") as file:
            wanted = "sha256=" + hmac.new(file.read().strip(), body, hashlib.sha256).hexdigest()
        if not broken:
            with open(folder + "/webhook", "ab") as file:
                file.write((body if self.headers["X-Llmhook-Signature"] == wanted else b"bad signature") + b"\n")
        with open(folder + "/tries", "a") as file:
            file.write("x")
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(port_file + ".new", port_file)
server.serve_forever()
