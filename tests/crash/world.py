"""One lab as a crash case sees it: the daemon with failpoints, the sandbox, libvirt, the ledger's file, a guest.

Everything is the real thing but the provider. A case begins with an empty ledger and a fresh sandbox; libvirtd and the
booted guest stay. Nothing here decides whether what happened was right: invariants.py does."""
import base64
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import uuid

import domains

BUILD = os.environ["CRASH_BUILD"]  # the daemon, command and hook with failpoints
SANDBOX = os.environ["LLMHOOK_BUILD"] + "/tests/sandbox/llmhook-sandbox"
LAB = os.environ["LAB_DIR"]
RUN = "/run/lab/crash"
STATE = "/var/lib/llmhook"
SOCKET = "/run/llmhookd/socket"
CONFIG = "/etc/llmhook/llmhook.conf"
HOOK = "/etc/libvirt/hooks/qemu"
LATER_HOOKS = HOOK + ".d"  # libvirt calls those after ours
ORDER, TRACE, HOOK_ORDER, HOOK_TRACE = (RUN + "/" + name for name in ("order", "trace", "hook-order", "hook-trace"))
HANDED_OVER = RUN + "/handed-over"
GUEST, GUEST_UUID = "guest", "80000000-0000-4000-8000-000000000001"
TABLES = ("keys", "containers", "grants", "domains", "pool", "alerts", "rates", "journal")  # of the ledger
POLICY = "[policy dev-*]\nproviders = openai\nmonthly-limit = 25\n"
PROVIDERS = {
    "openai": "admin-key = file:{key}\nbase-url = {url}/v1\nrate-limit = gpt-4o requests-per-minute=500\n",
    "from-program": "type = openai\nadmin-key = exec:/bin/cat {key}\nbase-url = {url}/v1\n",
    "anthropic": "admin-key = file:{key}\nbase-url = {url}\n",
    "openrouter": "admin-key = file:{key}\nbase-url = {url}/api/v1\n",
    "litellm": "admin-key = file:{key}\nbase-url = {url}/litellm\nguest-base-url = http://gateway.lan:4000\n",
    "gateway": "type = exec\nprogram = {store}.sh {store}\ncan = suspend\nenvironment = OPENAI_API_KEY\n",
    "vault": "admin-key = file:{key}\nbase-url = {url}/vault\npath = openai/creds/dev\nfield = api_key\nmethod = post\n"
             "parameters = note={{name}}\nenvironment = OPENAI_API_KEY\n",
    "federation": "type = anthropic-federation\nbase-url = {url}\n",
    "host": "type = static\nkey = file:{key}\nenvironment = OPENAI_API_KEY\n",
}
BOOT = "/run/llmhookd/boot"
# Not the whole XML of tests/lab: there is nothing in it that would have to boot. Without that capability libvirt does not ask
# for each property of the processor: 48 KB, which QEMU reads byte by byte, half of the matrix's processor time.
DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>{name}</name><uuid>{uuid}</uuid><metadata>{metadata}</metadata>{sysinfo}
<memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/><memballoon model='none'/>
</devices>
<qemu:capabilities><qemu:del capability='cpu-unavailable-features'/></qemu:capabilities></domain>"""
# By which QEMU hands the keys over: it does not start without the file.
SYSINFO = "<sysinfo type='fwcfg'><entry name='opt/io.systemd.credentials/llmhook.env' file='" + BOOT + "/{uuid}.env'/></sysinfo>"
# Asks for the failpoint of the operation that is meant, of libvirt's many calls.
WRAPPER = """#!/bin/sh
read -r operation order 2>/dev/null <{order} || :
[ "$2" != "$operation" ] || export LLMHOOK_FAILPOINT="$order"
LLMHOOK_FAILPOINT_TRACE={trace}."$2" exec {hook} "$@"
"""
# What QEMU is about to read: the file is gone when the start has ended. A line for each start, the key by its hash.
WATCH = """#!/bin/sh
[ "$2" != start ] || sed -n "s/^OPENAI_API_KEY='\\(.*\\)'\\$/\\1/p" {boot}/{uuid}.env | tr -d '\\n' | sha256sum |
    cut -c1-64 >>{told}
"""


class Broken(Exception):
    """The lab itself does not work: no verdict about the daemon."""


def now():
    return time.monotonic()


def write(path, text, mode=0o600):
    with open(path + ".new", "w", opener=lambda p, f: os.open(p, f, mode)) as file:
        file.write(text)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


def wait_until(seconds, condition, what):
    began = now()
    while True:
        value = condition()
        if value:
            return value
        if now() > began + seconds:
            raise Broken(f"{what}: not within {seconds} s")
        pause(began)


def month_lasts():
    """Returns when no month (UTC) turns within the minute before or after: what was spent begins anew with it."""
    while len({time.gmtime(time.time() + seconds).tm_mon for seconds in (-60, 60)}) > 1:
        time.sleep(1)


def pause(since):
    """Between two questions: what comes soon is seen soon, what takes long is not asked for all the time."""
    time.sleep(min(0.1, max(0.02, (now() - since) / 5)))


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("sandbox", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class Sandbox:
    def __init__(self):
        self.folder = RUN + "/sandbox"
        self.store = self.folder + "/store"  # of the example of a program that is a provider
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, 0o700)
        shutil.copy(os.environ["LLMHOOK_SOURCE"] + "/packaging/examples/provider-file.sh", self.store + ".sh")
        with open("/dev/urandom", "rb") as random:
            write(self.folder + "/admin-key", "sk-admin-" + random.read(16).hex() + "\n")
        with open(LAB + "/sandbox.log", "a") as log:
            self.process = subprocess.Popen(
                [SANDBOX, "--listen", "127.0.0.1:0", "--control", self.folder + "/control", "--admin-key-file",
                 self.folder + "/admin-key", "--port-file", self.folder + "/port"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise Broken("the sandbox is not ready")
        with open(self.folder + "/port") as file:
            self.url = "http://127.0.0.1:" + file.read().strip()

    def control(self, method, path, body=None):
        connection = UnixHTTP(self.folder + "/control")
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"} if body is not None else {})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise Broken(f"sandbox: {method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None

    def state(self):
        state = self.control("GET", "/state")
        if os.path.exists(self.store):
            with open(self.store) as file:
                state["gateway_keys"] += [{"name": key["name"], "disabled": key["disabled"], "created_ms": key["created_at"],
                                           "sha256": hashlib.sha256(key["token"].encode()).hexdigest()}
                                          for key in json.load(file)["keys"]]
        return state

    def hangs(self, ending):
        """Whether a POST to a path of that ending has come and is not answered."""
        return any(r["method"] == "POST" and r["path"].endswith(ending) and r["took_us"] == -1
                   for r in self.control("GET", "/requests")["requests"])

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class World:
    def __init__(self):
        os.makedirs(RUN, 0o755, exist_ok=True)
        os.makedirs("/etc/llmhook", exist_ok=True)
        os.makedirs("/run/llmhookd", exist_ok=True)
        self.daemon = self.sandbox = None
        self.guest_is_up = False
        self.domains = []
        self.log_begins = 0
        open(LAB + "/llmhookd.log", "a").close()
        self.hook(False)

    # ---- a case ----

    def fresh(self, provider="openai"):
        self.stop_daemon()
        if self.sandbox:
            self.sandbox.stop()
        for name in self.domains:
            domains.remove(name)
        self.domains = []
        for entry in os.scandir(STATE):  # the folder itself is where the lab has mounted it
            shutil.rmtree(entry) if entry.is_dir() else os.unlink(entry)
        for path in os.listdir(RUN):
            if path.startswith(("order", "trace", "hook-", "handed-over")):
                os.unlink(RUN + "/" + path)
        shutil.rmtree(LATER_HOOKS, ignore_errors=True)
        self.hook(False)
        self.sandbox = Sandbox()
        self.usage = "never"
        self.name, self.policy, self.provider, self.alerts = provider, POLICY.replace("openai", provider), "", ""
        self.configure()
        self.log_begins = os.path.getsize(LAB + "/llmhookd.log")

    def configure(self, policy=None, provider=None, alerts=None):
        self.alerts = alerts if alerts is not None else self.alerts
        self.policy = policy if policy is not None else self.policy
        self.provider = provider if provider is not None else self.provider
        write(CONFIG, f"""[daemon]
undefine-grace = 1s
audit-interval = never
usage-interval = {self.usage}
required-deadline = 20s

[provider {self.name}]
{PROVIDERS[self.name].format(key=self.sandbox.folder + "/admin-key", url=self.sandbox.url, store=self.sandbox.store)}
{self.provider}

{self.alerts}
{self.policy}""")

    # ---- the daemon ----

    def start_daemon(self):
        """Returns when it answers, or has died at the failpoint it was to die at."""
        environment = dict(os.environ, LLMHOOK_FAILPOINT="@" + ORDER, LLMHOOK_FAILPOINT_TRACE=TRACE)
        with open(LAB + "/llmhookd.log", "a") as log:
            self.daemon = subprocess.Popen([BUILD + "/src/llmhookd", "--config", CONFIG], env=environment,
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(20, lambda: self.daemon.poll() is not None or self.status(), "llmhookd does not answer")

    def stop_daemon(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        self.daemon = None

    def reload(self):
        """As an operator does after a change, whether or not there is a daemon to tell."""
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGHUP)

    def log(self):
        with open(LAB + "/llmhookd.log", errors="replace") as file:
            file.seek(self.log_begins)
            return file.read()

    def call(self, method, **parameters):
        """The reply's parameters; None when nobody answers; a string: the error's name."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(SOCKET)
                client.sendall(json.dumps({"method": "io.llmhook." + method, "parameters": parameters}).encode() + b"\0")
                reply = b""
                while not reply.endswith(b"\0"):
                    part = client.recv(1 << 16)
                    if not part:
                        return None
                    reply += part
        except OSError:
            return None
        reply = json.loads(reply[:-1])
        return reply["error"] if "error" in reply else reply.get("parameters", {})

    def status(self):
        return self.call("Status")

    # ---- failpoints ----

    def arm(self, order):
        write(ORDER, order + "\n")

    def passes(self, path=TRACE):
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return file.read().splitlines()

    def hook(self, wrapped):
        """libvirt calls the hook itself, or a script that can ask it for a failpoint."""
        if wrapped:
            write(HOOK, WRAPPER.format(order=HOOK_ORDER, trace=HOOK_TRACE, hook=BUILD + "/hooks/qemu"), 0o755)
            return
        if os.path.lexists(HOOK + ".new"):
            os.unlink(HOOK + ".new")
        os.symlink(BUILD + "/hooks/qemu", HOOK + ".new")
        os.rename(HOOK + ".new", HOOK)

    def watch_starts(self, identity):
        os.makedirs(LATER_HOOKS)
        write(LATER_HOOKS + "/90-watch", WATCH.format(boot=BOOT, uuid=identity, told=HANDED_OVER), 0o755)

    def handed_over(self):
        """SHA-256 of the key that QEMU was given, of each start."""
        if not os.path.exists(HANDED_OVER):
            return []
        with open(HANDED_OVER) as file:
            return file.read().split()

    # ---- domains ----

    def define(self, name="dev-1", metadata="", same=None, boots=False):
        identity = same or str(uuid.uuid4())
        domains.define(DOMAIN.format(name=name, uuid=identity, metadata=metadata,
                                     sysinfo=SYSINFO.format(uuid=identity) if boots else ""))
        if name not in self.domains:
            self.domains.append(name)
        return identity

    def start(self, name="dev-1"):
        """A start must go well and be quick, whatever has become of the daemon."""
        began = now()
        try:
            domains.start(name)
        except domains.Error as error:
            return f"I9: the start failed: {error}"
        return f"I9: the start took {now() - began:.1f} s" if now() - began > 5 else None

    # ---- the ledger ----

    def ledger(self):
        """Its tables' rows. From a copy, so that nothing is changed; only while no daemon runs."""
        if self.daemon and self.daemon.poll() is None:
            raise Broken("the ledger is read while a daemon has it")
        copy = RUN + "/ledger"
        shutil.rmtree(copy, ignore_errors=True)
        os.makedirs(copy, 0o700)
        for suffix in ("", "-wal"):
            if os.path.exists(f"{STATE}/ledger.sqlite{suffix}"):
                shutil.copy(f"{STATE}/ledger.sqlite{suffix}", copy)
        rows = {name: [] for name in TABLES}
        if not os.listdir(copy):
            return dict(rows, texts={}, integrity="ok")
        database = sqlite3.connect(copy + "/ledger.sqlite")
        database.row_factory = sqlite3.Row
        try:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            rows.update({name: [dict(row) for row in database.execute(f"SELECT * FROM {name}")]
                         for name in TABLES if name in tables})
            rows["texts"] = dict(map(tuple, database.execute("SELECT name, text FROM texts"))) if "texts" in tables else {}
            rows["integrity"] = database.execute("PRAGMA integrity_check").fetchone()[0]
            return rows
        finally:
            database.close()

    # ---- the guest ----

    def guest_up(self):
        """Boots the lab's guest once; later cases find it running, with its agent connected."""
        if not self.guest_is_up:
            done = subprocess.run(["bash", os.path.dirname(__file__) + "/guest.sh", GUEST, GUEST_UUID],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
            if done.returncode != 0:
                raise Broken(f"the guest does not start: {done.stderr.strip()}")
            self.guest_is_up = True
        if not domains.is_running(GUEST):
            domains.start(GUEST, paused=False)
        wait_until(60, lambda: domains.has_agent(GUEST), "the guest's agent does not connect")
        self.guest_run("/bin/sh", "-c", "rm -rf /run/llmhook /run/llmhook.d /run/client")
        shutil.rmtree(STATE + "/spool", ignore_errors=True)  # of a start that is not the case's

    def agent(self, command, **arguments):
        said = domains.agent_command(GUEST, json.dumps({"execute": command, "arguments": arguments}))
        return json.loads(said)["return"] if said else None

    def guest_run(self, path, *arguments):
        """(exit code, output); None: the agent did not run it."""
        begun = self.agent("guest-exec", path=path, arg=list(arguments), **{"capture-output": True})
        while begun:
            state = self.agent("guest-exec-status", pid=begun["pid"])
            if state is None:
                return None
            if state["exited"]:
                return state.get("exitcode", -1), base64.b64decode(state.get("out-data", "")).decode()
            time.sleep(0.02)
        return None

    def guest_hash(self, name="OPENAI_API_KEY"):
        """SHA-256 of the key that the guest has, empty: none, None: it did not say. The key stays in the guest."""
        for _ in range(50):  # a daemon that was killed may have left its agent with half a conversation
            done = self.guest_run("/bin/sh", "-c", f"[ ! -s /run/llmhook/{name} ] || "
                                  f"tr -d '\\n' </run/llmhook/{name} | sha256sum | cut -c1-64")
            if done and done[0] == 0:
                return done[1].strip()
            time.sleep(0.1)
        return None
