#!/usr/bin/env python3
"""The control server against Varlink's own Python library, which shares nothing with ours: it parses our interface
description and checks every parameter of every call and reply against it. The replies are those in tests/cli/, so
this also holds them to the interface."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

try:
    import varlink
except ImportError:
    print("1..0 # SKIP the Python module varlink is not there (pip install varlink)")
    sys.exit(0)

fixture = os.environ.get("CONTROL_FIXTURE", "tests/unit/control-fixture")
source = os.path.join(os.environ.get("srcdir", "."), "tests/cli")
interface = os.path.join(os.environ.get("srcdir", "."), "src/control/io.llmhook.varlink")
if not os.access(fixture, os.X_OK):
    print("1..0 # SKIP control-fixture is not built")
    sys.exit(0)

ANSWERED = {"Status": ["version", "domains", "providers", "warnings"], "Show": ["domain", "events"],
            "Audit": ["complete", "problems", "rows"], "Revoke": ["revoking"], "Doctor": ["version", "checks"]}
count = failures = 0


def check(name, good, detail=""):
    global count, failures
    count += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good and detail != "":
        print(f"# {detail}")


def refused(call):
    try:
        return "no error", call()
    except varlink.VarlinkError as error:
        return error.error(), error.parameters()


def conforms(interface, kind, value, where):
    """What in VALUE is not what the interface's type KIND says; the library itself checks less than this."""
    scanner = varlink.scanner
    if isinstance(kind, scanner._Maybe):
        return [] if value is None else conforms(interface, kind.element_type, value, where)
    if isinstance(kind, scanner._Array):
        if not isinstance(value, list):
            return [f"{where} is no array"]
        return [p for i, v in enumerate(value) for p in conforms(interface, kind.element_type, v, f"{where}[{i}]")]
    if isinstance(kind, scanner._CustomType):
        return conforms(interface, interface.members[kind.name].type, value, where)
    if isinstance(kind, scanner._Object):
        return [] if isinstance(value, dict) else [f"{where} is no object"]
    if isinstance(kind, scanner._Struct):
        if not isinstance(value, dict):
            return [f"{where} is no object"]
        found = [f"{where}.{name} is not in the interface" for name in value if name not in kind.fields]
        for name, field in kind.fields.items():
            if name not in value and not isinstance(field, scanner._Maybe):
                found.append(f"{where}.{name} is missing")
            elif name in value:
                found += conforms(interface, field, value[name], f"{where}.{name}")
        return found
    good = type(value) is type(kind)  # the library stands a value for each of the plain types
    return [] if good else [f"{where} is {type(value).__name__}, not {type(kind).__name__}"]


with tempfile.TemporaryDirectory() as work:
    path = os.path.join(work, "socket")
    answers = os.path.join(work, "answers")
    os.mkdir(answers)
    for name in os.listdir(source):
        if name.endswith(".json"):
            with open(os.path.join(source, name), encoding="utf-8") as old:
                with open(os.path.join(answers, name), "w", encoding="utf-8") as new:
                    new.write(old.read())
    server = subprocess.Popen([fixture, path, answers], stdout=subprocess.PIPE, text=True)
    try:
        if server.stdout.readline() != "ready\n":
            print("Bail out! the fixture does not start")
            sys.exit(99)
        client = varlink.Client.new_with_address("unix:" + path)
        with client.open("org.varlink.service") as service:
            info = service.GetInfo()
        check("the service names itself",
              (info["vendor"], info["product"], info["interfaces"]) ==
              ("llmhook", "llmhookd", ["org.varlink.service", "io.llmhook"]), info)
        ours = client.get_interface("io.llmhook")
        methods = sorted(name for name, member in ours.members.items()
                         if isinstance(member, varlink.scanner._Method))
        with open(interface, encoding="utf-8") as file:
            described = sorted(re.findall(r"^method (\w+)", file.read(), re.MULTILINE))
        check("the interface is understood", described and methods == described, f"{methods}, not {described}")
        standard = client.get_interface("org.varlink.service")
        check("so is the standard one", "GetInfo" in standard.members and "ExpectedMore" in standard.members)

        with client.open("io.llmhook", namespaced=False) as connection:
            calls = {"Status": {}, "Show": {"domain": "dev-1"}, "Audit": {"guests": False},
                     "Revoke": {"domain": "dev-1", "provider": None}, "Doctor": {}}
            for method, parameters in calls.items():
                reply = getattr(connection, method)(**parameters)
                check(f"{method} is answered", set(reply) >= set(ANSWERED[method]), reply)
            for name in sorted(os.listdir(source)):
                if not name.endswith(".json"):
                    continue
                with open(os.path.join(source, name), encoding="utf-8") as file:
                    messages = json.load(file)
                kind = ours.members[name.split(".")[0]].out_type
                problems = []
                for message in messages if isinstance(messages, list) else [messages]:
                    if "error" in message:
                        kind = ours.members[message["error"].removeprefix("io.llmhook.")].type
                    problems += conforms(ours, kind, message["parameters"], name)
                check(f"{name} is what the interface says", not problems, problems)

            event = {"domain": "dev-1", "operation": "prepare", "suboperation": "begin", "extra": "-", "at": 4711,
                     "xml": "<domain/>"}
            replies = list(connection.HookEvent(**event, _more=True))
            check("with more, both replies", [r["verdict"] for r in replies] == ["wait", "accepted"], replies)
            reply = connection.HookEvent(**event)
            check("without, the last one", reply["verdict"] == "accepted", reply)
            connection.HookEvent(**event, _oneway=True)
            reply = connection.Show(domain="dev-1")
            check("after a oneway call the next reply is the next call's", reply["domain"]["name"] == "dev-1", reply)

            got = refused(lambda: connection.Show(domain="nosuch"))
            check("an error of ours", got == ("io.llmhook.NoSuchDomain", {"domain": "nosuch"}), got)
        got = refused(lambda: client.get_interface("io.nowhere"))
        check("an unknown interface", got == ("org.varlink.service.InterfaceNotFound", {"interface": "io.nowhere"}), got)
    finally:
        server.send_signal(signal.SIGTERM)
        check("the server ends well", server.wait(20) == 0, server.returncode)

print(f"1..{count}")
sys.exit(failures > 0)
