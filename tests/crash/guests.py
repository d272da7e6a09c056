"""What the daemon is killed in while there is a real guest."""
import os
import threading
import time

import domains
import invariants
import world as lab
from workload import Workload


class Guest(Workload):
    guest = True

    def prepare(self):
        self.uuid = lab.GUEST_UUID
        self.world.configure(policy="[policy guest]\nproviders = openai\nmonthly-limit = 25\n")
        self.world.guest_up()

    def delivered(self):
        self.world.start_daemon()
        lab.wait_until(20, lambda: self.proven() is None, "nothing is delivered to begin with")
        self.hashes = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))

    def proven(self):
        domain = self.domain()
        return self.keys(1, state="active") or (None if domain and domain.get("delivery") == "proven" else
                                                f"delivery {domain and domain.get('delivery')}")

    def wrong(self):
        return self.proven() or self.state_is("running")

    def done(self):
        alive = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))
        return [] if [self.world.guest_hash()] == alive else ["the guest has not got the key that is alive"]


class Deliver(Guest):
    """A domain runs, its agent is connected, and a daemon comes: mint and deliver."""
    makes = 1

    def act(self):
        self.world.start_daemon()


class Redeliver(Guest):
    """The agent restarts, and what was in the guest is gone."""
    def prepare(self):
        super().prepare()
        self.delivered()

    def act(self):
        self.world.guest_run("/bin/sh", "-c", "rm -rf /run/llmhook /run/llmhook.d; (sleep 0.1; killall qemu-ga) >/dev/null 2>&1 &")
        # The log says when the daemon has noticed; until then the old proof would do.
        try:
            lab.wait_until(3, lambda: self.world.daemon.poll() is not None or self.proven(), "the agent does not go")
        except lab.Broken:
            pass

    def done(self):
        alive = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))
        return super().done() + ([] if alive == self.hashes else ["I3: it is another key after the reboot"])


class GuestPolicyAway(Guest):
    """What was delivered is taken out of the guest again."""
    def prepare(self):
        super().prepare()
        self.delivered()

    def act(self):
        self.world.configure(policy="")
        self.world.reload()

    def wrong(self):
        return self.keys(0) or self.state_is("running") or \
            (None if self.world.guest_hash() == "" else "something is left in the guest")

    def done(self):
        return []


class Rotate(Guest):
    """An operator's, who asks again when nobody has answered him."""
    makes = 1
    at_once = 2
    OVERLAP = "rotate = 30d\noverlap = 300ms\n"

    def prepare(self):
        super().prepare()
        self.world.configure(policy=self.world.policy + self.OVERLAP)
        self.delivered()
        self.obeyed = False

    def act(self):
        self.again()

    def again(self):
        if not self.obeyed:
            # Its answer was lost, and it was obeyed: then there is a newer generation.
            self.obeyed = len(self.domain()["grants"][0]["keys"]) > 1 or self.replaced() or \
                isinstance(self.world.call("Rotate", domain=lab.GUEST), dict)

    def replaced(self):
        return self.hashes != list(invariants.live_keys(self.world.sandbox.state(), self.uuid))

    def wrong(self):
        return super().wrong() or (None if self.replaced() else "it is still the old key")


class Client(threading.Thread):
    """A program in the guest that makes a request every 100 ms, each time with the key that is there then, as llmhook-run
    has it. It says on the guest's console which key that is, by its hash: the key stays in the guest. What the provider
    would answer at that moment is looked up where it knows keys, by their hashes as well."""
    SCRIPT = """echo {me} >/run/client
while read -r me </run/client && [ "$me" = {me} ]; do
    command . /run/llmhook/env 2>/dev/null
    [ "$OPENAI_API_KEY" = "$last" ] || hash=$(printf %s "$OPENAI_API_KEY" | sha256sum)
    last=$OPENAI_API_KEY
    echo "client {me} ${{hash%% *}}" >/dev/console
    sleep 0.1
done </dev/null >/dev/null 2>&1 &"""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.sandbox, self.ends = world.sandbox, threading.Event()
        self.accepted, self.refused, self.problem = {}, [], None
        self.me = f"{os.getpid()}-{time.monotonic_ns()}"
        self.console = open(f"{lab.LAB}/{lab.GUEST}.console", errors="replace")
        self.console.seek(0, os.SEEK_END)
        world.guest_run("/bin/sh", "-c", self.SCRIPT.format(me=self.me))
        self.start()

    def run(self):
        rest = ""
        try:
            while not self.ends.is_set():
                rest += self.console.read()
                *lines, rest = rest.split("\n")
                asked = [line.split()[2] for line in lines if line.startswith(f"client {self.me} ") and len(line.split()) == 3]
                if not asked:
                    time.sleep(0.02)
                    continue
                alive = set(invariants.live_keys(self.sandbox.state()))
                for key in asked:
                    if key in alive:
                        self.accepted[key] = self.accepted.get(key, 0) + 1
                    else:
                        self.refused.append(key)
        except Exception as problem:  # told by whoever asks
            self.problem = problem

    def end(self, world):
        self.ends.set()
        self.join()
        self.console.close()
        world.guest_run("/bin/sh", "-c", "rm -f /run/client")
        if self.problem:
            raise lab.Broken(f"the client's requests could not be looked up: {self.problem}")


class RotateUsed(Rotate):
    """With a client that goes on all the time: none of its requests may be refused, wherever the daemon is killed."""
    OVERLAP = "rotate = 30d\noverlap = 2s\n"

    def prepare(self):
        super().prepare()
        self.client = Client(self.world)
        lab.wait_until(20, lambda: self.client.accepted, "the client makes no request")

    def wrong(self):
        return super().wrong() or (None if len(self.client.accepted) > 1 else "the client has not got the new key")

    def done(self):
        self.client.end(self.world)
        made = sum(self.client.accepted.values()) + len(self.client.refused)
        wrong = [f"the client: {len(self.client.refused)} of {made} requests were refused"] if self.client.refused else []
        return super().done() + wrong + ([] if made >= 4 else [f"the client made {made} requests only"])


class RotateUsedShortly(RotateUsed):
    """As short as a client may be that reads the key anew ten times a second."""
    OVERLAP = "rotate = 30d\noverlap = 500ms\n"


class RotateUndeliverable(Rotate):
    """Asked for, and the policy is taken away before it can end: neither key may stay."""
    OVERLAP = "rotate = 30d\noverlap = 1h\n"
    makes = 1

    def act(self):
        super().act()
        self.come(self.retiring, "nothing retires", 20)
        self.world.configure(policy="")
        self.world.reload()

    def again(self):
        if not self.world.policy == "":
            super().again()

    def retiring(self):
        domain = self.domain()
        return domain and any(key["state"] == "retiring" for grant in domain["grants"] for key in grant["keys"])

    def wrong(self):
        return self.keys(0) or self.state_is("running") or \
            (None if self.world.guest_hash() == "" else "something is left in the guest")

    def done(self):
        return []


class GuestSaveRestore(Guest):
    def prepare(self):
        super().prepare()
        self.delivered()

    def act(self):
        domains.save(lab.GUEST, lab.RUN + "/saved-guest")
        self.noticed("saved")
        domains.restore(lab.RUN + "/saved-guest", paused=False)

    def done(self):
        alive = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))
        return super().done() + ([] if alive == self.hashes else ["I3: it is another key after the restore"])
