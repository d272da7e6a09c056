#!/usr/bin/env python3
"""Runs crash cases in this lab. Each line of standard input is one: {"workload": NAME, "kills": [NAME:N, ...]}; each
line of standard output says what came of it. No kills: it is only recorded which failpoints are passed."""
import json
import os
import signal
import sys
import traceback

import invariants
import world as lab
from workloads import BY_NAME


AT_REST, STILL_TO_COME = 0.1, 2  # seconds


class Case:
    def __init__(self, world, workload, kills):
        self.world, self.workload, self.kills = world, workload, list(kills)
        self.killed = []       # the orders that were carried out
        self.passes = []       # what each of the daemon's lives passed
        self.hook_passes = []
        self.wrong = []
        self.doubts = {}
        self.made_before = {}
        self.converged_in = 0
        self.since = None      # when all is well
        self.prepared = False

    @property
    def uuids(self):
        return self.workload.uuids

    def look(self):
        """The daemon is dead: whatever the moment was, the invariants hold."""
        ledger = self.world.ledger()
        grants = {row["id"]: row["domain"] for row in ledger["grants"]}
        for row in ledger["keys"]:
            if row["state"] == "minting":
                domain = grants[row["grant_id"]]
                self.doubts[domain] = self.doubts.get(domain, 0) + 1
        self.wrong += [f"after the kill at {self.killed[-1:]}: {text}" for text in
                       invariants.crashed(self.world.sandbox.state(), ledger, self) + self.workload.crashed(ledger)]

    def end_of_life(self):
        passes = self.world.passes()
        if passes and passes[-1].endswith(" KILL"):
            self.killed.append(self.kills.pop(0))
            passes[-1] = passes[-1][:-5]
        elif not getattr(self.workload, "external", False) and self.world.daemon.returncode != -signal.SIGKILL:
            self.wrong.append(f"the daemon ended by itself: {self.world.daemon.returncode}")
        self.passes.append(passes)
        open(lab.TRACE, "w").close()

    def arm_next(self):
        self.world.arm(self.kills[0] if self.kills else "")

    def prepare(self):
        self.world.fresh(self.workload.provider)
        self.workload.prepare()
        sandbox = self.world.sandbox.state()
        for uuid in self.uuids:
            self.made_before[uuid] = len({name for name, _, _, _ in invariants.accounts(sandbox, uuid)})
        open(lab.TRACE, "w").close()
        self.prepared = True
        if self.kills and self.kills[0].startswith("hook:"):
            order = self.kills[0][5:]
            lab.write(lab.HOOK_ORDER, f"{self.workload.operation} {order}\n")
            self.world.arm("")
        else:
            self.arm_next()

    def act(self):
        """The process that the deed runs in, if it goes on."""
        if self.workload.fault:
            self.world.sandbox.control("POST", "/faults", self.workload.fault)
        said = self.workload.act()
        if isinstance(said, str):
            self.wrong.append(said)
        if getattr(self.workload, "hook", False):
            self.hook_passes = self.world.passes(f"{lab.HOOK_TRACE}.{self.workload.operation}")
            if self.hook_passes and self.hook_passes[-1].endswith(" KILL"):
                self.hook_passes[-1] = self.hook_passes[-1][:-5]
                self.killed.append(self.kills.pop(0))
                self.arm_next()
            # Only now: it would pass by what it is to be killed at next.
            self.world.start_daemon()
        return said if hasattr(said, "poll") else None

    def run(self):
        self.prepare()
        deed = self.act()
        since = lab.now()
        while True:
            if self.world.daemon.poll() is not None:
                self.end_of_life()
                self.look()
                self.arm_next()
                self.world.start_daemon()
                if self.world.daemon.poll() is None:
                    self.workload.again()
                since, self.since = lab.now(), None
                continue
            problem = self.workload.wrong()
            if self.at_rest(not problem and (not deed or deed.poll() is not None)) and self.world.daemon.poll() is None:
                # What the audit's own requests pass is not this case's.
                passed = [line for line in self.world.passes() if not line.endswith(" KILL")]
                self.world.arm("")
                self.converged_in = self.since - since
                self.audited = self.audit()
                # A kill that was under way when it was disarmed is one of this case's, and to be recovered from.
                if self.audited is None and not self.ended():  # its socket closes a moment before its end is seen
                    self.wrong.append("audit: the daemon lives and has not answered")
                    break
                if self.world.daemon.poll() is None:
                    self.passes.append(passed)
                    break
                continue
            if not self.since and lab.now() - since > self.workload.seconds:
                self.wrong.append(f"I8: not converged {self.workload.seconds} s after the last restart: {problem}")
                break
            lab.pause(since)
        if deed and deed.poll() is not None:
            complaint = deed.stderr.read()
            if deed.returncode:
                self.wrong.append(f"the start failed: {complaint.strip()}")
        self.end()

    def at_rest(self, good):
        """GOOD for a while: what is still passed then is this case's, and what is to be killed at may come last."""
        passed = len(self.world.passes())
        if not good:
            self.since = None
        elif not self.since:
            self.since = self.quiet_since = lab.now()
        elif passed != self.passed:
            self.quiet_since = lab.now()
        self.passed = passed
        return good and (lab.now() > self.since + STILL_TO_COME or
                         not self.kills and lab.now() > self.quiet_since + AT_REST)

    def ended(self):
        try:
            lab.wait_until(5, lambda: self.world.daemon.poll() is not None, "the daemon's end")
        except lab.Broken:
            return False
        return True

    def audit(self):
        """The daemon's own; when it started a moment ago, it may not have libvirt's list yet and says so."""
        answers = []
        def complete():
            answers[:] = [self.world.call("Audit", guests=False)]
            return not isinstance(answers[0], dict) or answers[0]["complete"]
        try:
            lab.wait_until(10, complete, "audit")
        except lab.Broken:
            pass
        return answers[0]

    def end(self):
        if self.wrong and any(text.startswith("I8") for text in self.wrong):
            self.world.stop_daemon()
            self.look()
            return
        self.wrong += invariants.audit(self.audited, self)
        self.world.stop_daemon()
        self.wrong += invariants.converged(self.world.sandbox.state(), self.world.ledger(), self)
        self.wrong += self.workload.done()


def processor_seconds():
    """Of everything in this lab, the dead included."""
    ticks = 0
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{int(entry)}/stat") as file:
                ticks += sum(int(field) for field in file.read().rsplit(")", 1)[1].split()[11:15])
        except (ValueError, OSError):
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def main():
    world = lab.World()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        began = lab.now()
        case = Case(world, BY_NAME[asked["workload"]](world), asked["kills"])
        broken = None
        try:
            case.run()
        except Exception:  # whatever it is, it is this case's, and the next one begins afresh
            broken = traceback.format_exc()
        answer = {"case": asked, "killed": case.killed, "passes": case.passes, "hook_passes": case.hook_passes,
                  "wrong": case.wrong, "broken": broken,
                  "prepared": case.prepared, "ms": int((lab.now() - began) * 1000),
                  "converged_ms": int(case.converged_in * 1000)}
        if case.wrong or broken:
            answer["log"] = world.log()[-6000:]
        print(json.dumps(answer), flush=True)
    print(json.dumps({"processor_s": processor_seconds()}), flush=True)


if __name__ == "__main__":
    main()
