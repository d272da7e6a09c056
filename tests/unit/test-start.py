#!/usr/bin/env python3
"""What the daemon tells systemd before it opens its ledger: how long that may take. The ledger here is none, so it ends there."""
import os
import socket
import subprocess
import sys
import tempfile

daemon = os.path.abspath("src/llmhookd")
if not os.access(daemon, os.X_OK):
    print("1..0 # SKIP llmhookd is not built")
    sys.exit(0)

SIZE = 50_000_000  # bytes, which a disk that reads 10 MB a second has in 5 s

with tempfile.TemporaryDirectory() as place:
    os.mkdir(f"{place}/state", 0o700)
    with open(os.open(f"{place}/state/ledger.sqlite", os.O_CREAT | os.O_WRONLY, 0o600), "wb") as ledger:
        ledger.truncate(SIZE)
    with open(f"{place}/llmhook.conf", "w") as config:
        config.write(f"[daemon]\nstate-directory = {place}/state\nsocket = {place}/run/socket\n")
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(f"{place}/notify")
    done = subprocess.run([daemon, "--config", f"{place}/llmhook.conf"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env={**os.environ, "NOTIFY_SOCKET": f"{place}/notify"}, timeout=60)
    systemd.setblocking(False)
    try:
        told = systemd.recv(4096).decode()
    except BlockingIOError:
        told = "nothing"

wanted = f"EXTEND_TIMEOUT_USEC={SIZE // 10}"
print(f"{'ok' if told == wanted else 'not ok'} 1 - a ledger of {SIZE} bytes may take 5 s to be read")
if told != wanted:
    print(f"# {told}, not {wanted}\n# {done.stderr}")
refused = done.returncode == 1 and "is not a ledger" in done.stderr
print(f"{'ok' if refused else 'not ok'} 2 - and then it is found to be none")
if not refused:
    print(f"# {done.returncode}: {done.stderr}")
print("1..2")
