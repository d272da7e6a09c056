"""What the daemon is killed in: see workload.py."""
import hashlib
import os
import subprocess

import domains
import invariants
import world as lab
import alerts
import capabilities
import federation
from guests import (Deliver, GuestPolicyAway, GuestSaveRestore, Redeliver, Rotate, RotateUndeliverable, RotateUsed,
                    RotateUsedShortly)
from workload import Workload, lost


class FirstStart(Workload):
    """The daemon's very first, with an empty folder, and a domain that is already running."""
    makes = 1

    def prepare(self):
        self.uuid = self.world.define()
        self.must(self.world.start())

    def act(self):
        self.world.start_daemon()

    def wrong(self):
        return self.keys(1) or self.state_is("paused")


class Start(Workload):
    makes = 1

    def act(self):
        return self.world.start()

    def wrong(self):
        return self.keys(1) or self.state_is("paused")


class Stop(Workload):
    def prepare(self):
        self.minted()

    def act(self):
        domains.destroy("dev-1")

    def wrong(self):
        return self.keys(0) or self.state_is("off")


class StopStart(Workload):
    """A new boot before the old key is gone."""
    makes = 1

    def prepare(self):
        self.minted()

    def stop(self):
        """And nobody is too late to see it: a start in the very moment of a stop may keep the key."""
        domains.destroy("dev-1")
        self.noticed("off")

    def act(self):
        self.stop()
        return self.world.start()

    def wrong(self):
        return self.keys(1) or self.state_is("paused")


class Undefine(Workload):
    def prepare(self):
        self.minted()

    def act(self):
        domains.undefine("dev-1")
        domains.destroy("dev-1")

    def wrong(self):
        return self.gone()


class Redefine(StopStart):
    """What Terraform does to change a domain that runs: another definition under the same UUID, started again."""
    def act(self):
        self.stop()
        domains.undefine("dev-1")
        self.world.define(same=self.uuid)
        return self.world.start()


class Revoke(Workload):
    """An operator's, who asks again when nobody has answered him."""
    def prepare(self):
        self.minted()
        self.obeyed = False

    def act(self):
        self.again()

    def again(self):
        if not self.obeyed:
            answer = self.world.call("Revoke", domain="dev-1")
            # Nothing to revoke: it was obeyed, only its answer was lost.
            self.obeyed = isinstance(answer, dict) or str(answer).endswith("NothingToRevoke")

    def wrong(self):
        if not self.obeyed:
            return "the operator was not obeyed"
        held = [grant["held"] for grant in (self.domain() or {}).get("grants", [])]
        return self.keys(0) or self.state_is("paused") or (None if held == [True] else f"held: {held}")


class HoldEnds(Workload):
    """What an operator has revoked is given again at the next boot."""
    makes = 1

    def prepare(self):
        self.minted()
        self.world.call("Revoke", domain="dev-1")
        lab.wait_until(10, lambda: self.keys(0) is None, "not revoked")
        domains.destroy("dev-1")
        lab.wait_until(10, lambda: self.state_is("off") is None, "not off")

    def act(self):
        return self.world.start()

    def again(self):
        # The hold is of the boot it was said in; one that no daemon has seen the start of is not known to be another.
        domain = self.domain()
        if domain and any(grant["held"] for grant in domain["grants"]):
            domains.destroy("dev-1")
            domains.start("dev-1")

    def wrong(self):
        return self.keys(1) or self.state_is("paused")


class PolicyAway(Workload):
    """The policy does not ask for a key any more, while the domain runs."""
    def prepare(self):
        self.minted()

    def act(self):
        self.world.configure(policy="")
        self.world.reload()

    def wrong(self):
        return self.keys(0) or self.state_is("paused")


class Stranded(PolicyAway):
    """The provider itself is taken out of the configuration: what is alive there is ended with what is remembered."""
    def act(self):
        self.world.name = "host"
        super().act()


class OrderlyEnd(Workload):
    """The daemon is told to end, and is killed while it does."""
    external = True

    def prepare(self):
        self.minted()

    def act(self):
        self.world.daemon.terminate()
        self.world.daemon.wait()

    def wrong(self):
        return self.keys(1) or self.state_is("paused")


class AdminKeyFromProgram(Stop):
    """The admin key is fetched from a program when it is needed."""
    provider = "from-program"

    def prepare(self):
        self.minted()
        self.world.stop_daemon()  # who begins anew has not got it yet
        self.world.start_daemon()
        self.quiet()


class LimitChange(Workload):
    def prepare(self):
        self.minted()

    def act(self):
        self.world.configure(policy=lab.POLICY.replace("25", "50"))
        self.world.reload()

    def wrong(self):
        limits = [project["spend_limit"]["cents"] for project in self.world.sandbox.state()["projects"]
                  if self.uuid in project["name"]]
        problem = self.keys(1)
        domain = None if problem else self.domain()
        held = [grant.get("monthly_limit_enforced") for grant in (domain or {"grants": []})["grants"]]
        return problem or (None if limits == [5000] and held == ["provider"] else f"limits {limits}, held by {held}")

    def done(self):
        set_to = [row["limit_set"] for row in self.world.ledger()["containers"]]
        return [] if set_to == [50000000] else [f"the provider's limit is {set_to}"]


class Spending(Workload):
    """What was spent is read: whenever the daemon dies, it is known in the end, once, and costs no key."""
    CENTS = 1234

    def prepare(self):
        lab.month_lasts()
        self.minted()
        self.spend(self.CENTS)

    def spend(self, cents):
        project = next(p for p in self.world.sandbox.state()["projects"] if self.uuid in p["name"])
        self.world.sandbox.control("POST", "/outside", {"action": "set-spend", "project_id": project["id"], "cents": cents})

    def act(self):
        self.world.usage = "10s"
        self.world.configure()
        self.world.reload()

    def known(self, cents):
        usage = self.world.call("Usage")
        told = sum(row["micro_dollars"] for row in usage["rows"]) if isinstance(usage, dict) else usage
        return self.keys(1) or (None if told == cents * 10000 else f"{told} micro-dollars are known")

    def wrong(self):
        return self.known(self.CENTS)


class SpendingGap(Spending):
    """How fast it goes and how long nobody looked is noted: a limit's date depends on both."""
    def prepare(self):
        super().prepare()
        self.world.usage = "10s"
        self.world.configure()
        self.world.reload()
        lab.wait_until(10, lambda: super(SpendingGap, self).wrong() is None, "nothing is known to begin with")
        self.world.stop_daemon()
        self.spend(2 * self.CENTS)

    def act(self):
        self.world.start_daemon()

    def wrong(self):
        return self.known(2 * self.CENTS)

    def done(self):
        ledger = self.world.ledger()
        gap = ledger["texts"].get("usage-gap:openai", "0 0").split()[1]
        fast = [row["rate"] > 0 or row["late"] > 0 for row in ledger["rates"]]
        return [] if int(gap) > 0 and fast == [True] else [f"usage: a gap of {gap} ms and the rates {ledger['rates']} are noted"]


class SaveRestore(Workload):
    def prepare(self):
        self.minted()
        self.hashes = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))

    def act(self):
        domains.save("dev-1", lab.RUN + "/saved")
        self.noticed("saved")
        domains.restore(lab.RUN + "/saved", paused=True)

    def wrong(self):
        return self.keys(1) or self.state_is("paused")

    def done(self):
        now = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))
        return [] if now == self.hashes else ["I3: it is another key after the restore"]


class Saved(SaveRestore):
    """A saved domain is off, and its key is kept."""
    def act(self):
        domains.managed_save("dev-1")

    def wrong(self):
        return self.keys(1) or self.state_is("saved")


class AbsentStart(Workload):
    """Nobody was there when the domain started: a message waits in the spool."""
    makes = 1

    def prepare(self):
        self.off()
        self.world.stop_daemon()
        self.must(self.world.start())

    def act(self):
        self.world.start_daemon()

    def wrong(self):
        return self.keys(1) or self.state_is("paused")


class AbsentStop(Workload):
    def prepare(self):
        self.minted()
        self.world.stop_daemon()
        domains.destroy("dev-1")

    def act(self):
        self.world.start_daemon()

    def wrong(self):
        return self.keys(0) or self.state_is("off")


class AbsentUndefine(AbsentStop):
    def prepare(self):
        super().prepare()
        domains.undefine("dev-1")

    def wrong(self):
        return self.gone()


class Required(Workload):
    """The hook waits for a key, and through the daemon's death for the next daemon."""
    makes = 1

    def prepare(self):
        self.world.configure(policy=lab.POLICY + "required = yes\n")
        self.off()

    def act(self):
        return subprocess.Popen(["virsh", "--quiet", "start", "dev-1", "--paused"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def wrong(self):
        return self.keys(1) or self.state_is("paused")


class BootCredential(Required):
    """The same, and QEMU hands the key over: what was not wholly written is not used."""

    def prepare(self):
        self.world.configure(policy=lab.POLICY + "required = yes\nboot-credential = yes\n")
        self.uuid = self.world.define(boots=True)
        self.world.watch_starts(self.uuid)
        self.world.start_daemon()
        self.quiet()

    def wrong(self):
        domain = self.domain()
        if domain and domain.get("delivery") != "boot":
            return f"the delivery is {domain.get('delivery')}: {domain.get('boot_credential')}"
        left = os.listdir(lab.BOOT)
        return f"{left[0]} is still there" if left else super().wrong()

    def done(self):
        given = self.world.handed_over()
        alive = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))
        return [] if given and given[-1:] == alive else [f"QEMU was given {given}, and {alive} is alive"]


class SecondOfOwner(Workload):
    """Two domains of one owner share a project, and its budget."""
    makes = 1
    METADATA = "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1' owner='alice'><llmhook:key provider='openai'/></llmhook:vm>"

    def prepare(self):
        self.world.configure(provider="project = per-owner")
        self.minted(metadata=self.METADATA)
        self.second = self.world.define("dev-2", self.METADATA)

    @property
    def uuids(self):
        return [self.uuid, self.second]

    def act(self):
        return self.world.start("dev-2")

    def wrong(self):
        return self.keys(1) or self.keys(1, uuid=self.second)


# ---- a provider in trouble ----

MINT = "POST /v1/organization/projects/*/service_accounts"
CREATE = "POST /v1/organization/projects"


class MintRequestLost(Start):
    fault = lost("request", MINT)
    makes = 2


class MintAnswerLost(Start):
    fault = lost("answer", MINT)
    makes = 2


class CreateAnswerLost(Start):
    fault = lost("answer", CREATE)


class CreateRequestLost(Start):
    fault = lost("request", CREATE)


class MintTwice(Start):
    """The provider makes two of one name and tells of one. The other cannot be known before somebody looks; then the
    audit names it, and it goes with its project at the latest."""
    fault = {"match": MINT, "mode": "duplicate"}
    copies = 2
    at_once = 2
    verdicts = ("orphan",)

    def wrong(self):
        sandbox = self.world.sandbox.state()
        twins = len(list(invariants.live_keys(sandbox, self.uuid)))
        return self.keys(1, alive=twins if twins in (1, 2) else 1) or self.state_is("paused")

    def audited(self, rows):
        twins = len(list(invariants.live_keys(self.world.sandbox.state(), self.uuid))) - 1
        named = sum(row["verdict"] == "orphan" for row in rows)
        return [] if named == twins else [f"audit: {twins} twins, {named} orphans"]


class StaleLists(MintAnswerLost):
    """What was made is not in any list for a while, and the answer to the minting is lost."""
    at_once = 2  # the lost one, which no list shows yet, and the next

    def act(self):
        self.world.sandbox.control("POST", "/knobs", {"stale_list_ms": 800})
        return super().act()


class RevokeRequestLost(Stop):
    fault = lost("request", "DELETE *")


class RevokeAnswerLost(Stop):
    fault = lost("answer", "DELETE *")


class InFlight(Start):
    """Killed while the minting is under way; the provider carries it out after the daemon's death."""
    at_once = 2  # it may come when the next one has been made
    external = True

    def prepare(self):
        super().prepare()
        self.world.sandbox.control("POST", "/faults", {"match": MINT, "mode": "latency", "ms": 600, "execute": "after"})

    def act(self):
        problem = super().act()
        self.come(lambda: self.world.sandbox.hangs("/service_accounts"), "no minting comes")
        self.world.daemon.kill()
        self.world.daemon.wait()
        return problem


class Vanished(Start):
    """Somebody has archived the project by hand."""
    def prepare(self):
        self.minted()
        domains.destroy("dev-1")
        lab.wait_until(10, lambda: (self.keys(0) or self.state_is("off")) is None, "not off and revoked")
        for project in self.world.sandbox.state()["projects"]:
            if self.uuid in project["name"]:
                self.world.sandbox.control("POST", "/outside", {"action": "archive-project", "project_id": project["id"]})


class Refused(Workload):
    """Started while minting is forbidden, and stopped before it is allowed."""
    planned = True
    verdicts = ("orphan",)  # a project whose creation was not answered, until the next start has looked for it

    def prepare(self):
        self.off()
        self.world.sandbox.control("POST", "/knobs", {"minting": "forbid"})

    def act(self):
        problem = self.world.start()
        self.come(self.attempted, "no attempt")
        domains.destroy("dev-1")
        return problem

    def attempted(self):
        domain = self.domain()
        return domain and any(key["attempts"] for grant in domain["grants"] for key in grant["keys"])

    def wrong(self):
        return self.keys(0) or self.state_is("off")


class Outage(Workload):
    """Started, destroyed and undefined while the provider is away: in the end there never was anything."""
    def act(self):
        self.world.sandbox.control("POST", "/listen", {"listening": False})
        problem = self.world.start()
        self.come(self.attempted, "no attempt")
        domains.undefine("dev-1")
        domains.destroy("dev-1")
        return problem

    def attempted(self):
        return [provider["status"] for provider in (self.world.status() or {"providers": []})["providers"]] == ["failing"]

    def wrong(self):
        problem = self.gone()
        domain = self.domain()
        # It is forgotten without the provider if nothing was ever asked of it, else that needs the provider.
        if not self.listens and domain and domain["state"] in (None, "undefined"):
            self.world.sandbox.control("POST", "/listen", {"listening": True})
            self.listens = True
        return problem

    listens = False


# ---- what an audit found is mended ----

class AuditFix(Workload):
    """An operator's, who has an audit mended, and asks again until he is told that it was."""
    def prepare(self):
        self.minted()
        self.spoiled()

    def spoiled(self):
        self.spoil()
        # What was made a moment ago may be missing from a list: that is no finding yet.
        lab.wait_until(10, self.to_mend, "the audit finds nothing")
        self.obeyed = False

    def spoil(self):
        raise NotImplementedError

    def to_mend(self):
        """The rows that can be mended; None: it is not known."""
        found = self.world.call("Audit", guests=False)
        if not isinstance(found, dict) or not found["complete"]:
            return None
        return [row for row in found["rows"] if row.get("fix")]

    def outside(self, action, **what):
        return self.world.sandbox.control("POST", "/outside", dict(what, action=action))

    def our_name(self, subject, more=""):
        return f"llmhook:{self.world.status()['host_id']}:{subject}:openai{more}"

    def project(self):
        return next(project for project in self.world.sandbox.state()["projects"] if self.uuid in project["name"])

    def act(self):
        self.again()

    def again(self):
        rows = self.to_mend()
        if rows is None:
            return
        mended = self.world.call("AuditFix", guests=False, rows=rows) if rows else {"complete": True, "rows": []}
        # Nothing to mend: it was, and only the answer was lost.
        self.obeyed = isinstance(mended, dict) and mended["complete"] and \
            all(row.get("fixed") in (None, True) for row in mended["rows"])

    def wrong(self):
        if not self.obeyed:
            self.again()
            return "the operator was not obeyed"
        return self.mended()

    def mended(self):
        return self.keys(1) or self.state_is("paused")


class AuditFixOrphan(AuditFix):
    """A key of our name that no row knows, as after an old copy of the ledger was put back."""
    at_once = 2

    def spoil(self):
        name = self.our_name(self.uuid, ":g7")
        self.orphans = (name,)
        self.outside("create-service-account", project_id=self.project()["id"], name=name)


class AuditFixMissing(AuditFix):
    """Somebody has deleted the key that the ledger believes in."""
    makes = 1

    def spoil(self):
        project = self.project()
        self.outside("delete-service-account", project_id=project["id"],
                     service_account_id=project["service_accounts"][0]["id"])


class AuditFixLimit(AuditFix):
    """Somebody has raised the budget."""
    def spoil(self):
        self.outside("set-spend-limit", project_id=self.project()["id"], cents=990000)

    def mended(self):
        cents = self.project()["spend_limit"]["cents"]
        return super().mended() or (None if cents == 2500 else f"the limit is {cents} cents")


class AuditFixKeyLimit(AuditFix):
    """The same where the budget is the key's own."""
    provider = "openrouter"

    def key(self):
        return next(key for key in self.world.sandbox.state()["gateway_keys"] if self.uuid in key["name"])

    def spoil(self):
        self.outside("gateway-set-limit", api_key_id=self.key()["id"], cents=990000)

    def mended(self):
        limit = self.key()["limit_micro_usd"]
        return super().mended() or (None if limit == 25000000 else f"the key's limit is {limit}")


class AuditFixTwin(AuditFix):
    """A second project of the domain's name: it is cleared away, with nothing in it that is in use."""
    def spoil(self):
        name = self.project()["name"]
        self.orphans = (name,)
        self.outside("create-project", name=name)

    def mended(self):
        problem = super().mended()
        if problem:
            return problem
        twins = len(list(invariants.live_projects(self.world.sandbox.state(), self.uuid)))
        strays = [domain["name"] for domain in (self.world.status() or {"domains": [{"name": "stray:?"}]})["domains"]
                  if domain["name"].startswith("stray:")]
        return f"{twins} projects" if twins != 1 else f"{strays} stay" if strays else None


class AuditFixContainer(AuditFix):
    """A project of a domain that has none in the ledger: it becomes that domain's, for its next start."""
    def prepare(self):
        self.off()
        self.spoiled()

    def spoil(self):
        name = self.our_name(self.uuid)
        self.orphans = (name,)
        self.outside("create-project", name=name)

    def mended(self):
        return self.keys(0) or self.state_is("off")

    def done(self):
        open_ones = [row["subject"] for row in self.world.ledger()["containers"] if row["state"] == "open"]
        return [] if open_ones == [self.uuid] else [f"the open containers are {open_ones}"]


class AuditFixOwners(AuditFixContainer):
    """A project of an owner's: whoever is the owner's next uses it."""
    def spoil(self):
        name = self.our_name("owner=alice")
        self.orphans = (name,)
        self.outside("create-project", name=name)

    def done(self):
        open_ones = [(row["kind"], row["subject"]) for row in self.world.ledger()["containers"] if row["state"] == "open"]
        return [] if open_ones == [("per-owner", "alice")] else [f"the open containers are {open_ones}"]


# ---- the hook itself is killed ----

class AdminKey(Workload):
    """An operator has the admin key itself replaced, and asks again until he is told that it was. The one that the file
    holds works at every moment."""
    def prepare(self):
        self.off()
        self.obeyed = False
        self.seen = {self.held()}

    def held(self):
        with open(self.world.sandbox.folder + "/admin-key") as file:
            return hashlib.sha256(file.read().strip().encode()).hexdigest()

    def act(self):
        self.again()

    def again(self):
        if not self.obeyed:
            self.obeyed = isinstance(self.world.call("AdminKeyRotate", provider="openai"), dict)

    def live(self):
        return {key["sha256"] for key in self.world.sandbox.state()["admin_keys"] if key["live"]}

    def crashed(self, ledger):
        self.seen.add(self.held())
        return [] if self.held() in self.live() else ["admin key: what the file holds does not work"]

    def wrong(self):
        live = self.live()
        if self.held() not in live:
            return "what the file holds does not work"
        if not self.obeyed:
            self.again()
            return "the operator was not obeyed"
        return f"{len(live)} admin keys are alive" if len(live) != 1 else self.keys(0) or self.state_is("off")

    def done(self):
        left = [name for name in os.listdir(self.world.sandbox.folder) if name.endswith("-new")]
        rotated = len({*self.seen, self.held()}) - 1
        told = [row["event"] for row in self.world.ledger()["journal"]].count("admin key rotated")
        return ([f"{left} is left"] if left else []) + \
            ([f"admin key: {told} rotations are in the history, {rotated} were seen"] if told < rotated else [])


class HookKilled(Workload):
    """No daemon: the hook's own steps into the spool, as libvirt calls it for OPERATION."""
    operation = "prepare"
    makes = 1
    hook = True

    def prepare(self):
        self.off()
        self.world.stop_daemon()
        self.world.hook(True)

    def act(self):
        # A hook that dies is one that failed, and libvirt ends the start: that much is libvirt's.
        try:
            domains.start("dev-1")
            self.starts = True
        except domains.Error:
            self.starts = False

    def wrong(self):
        return self.keys(1) or self.state_is("paused") if self.starts else self.keys(0) or self.state_is("off", None)


class HookKilledAtStarted(HookKilled):
    operation = "started"


class HookKilledAtRelease(HookKilled):
    operation = "release"
    makes = 0

    def prepare(self):
        self.minted()
        self.world.stop_daemon()
        self.world.hook(True)

    def act(self):
        domains.destroy("dev-1")

    def wrong(self):
        return self.keys(0) or self.state_is("off")


ALL = [FirstStart, Start, Stop, StopStart, Undefine, Redefine, Revoke, HoldEnds, PolicyAway, Stranded, OrderlyEnd,
       AdminKeyFromProgram, LimitChange, Spending, SpendingGap, SaveRestore, Saved, AbsentStart, AbsentStop,
       AbsentUndefine, Required, BootCredential, SecondOfOwner, MintRequestLost, MintAnswerLost, CreateRequestLost, CreateAnswerLost,
       MintTwice, StaleLists, RevokeRequestLost, RevokeAnswerLost, InFlight, Vanished, Refused, Outage, AuditFixOrphan,
       AuditFixMissing, AuditFixLimit, AuditFixKeyLimit, AuditFixTwin, AuditFixContainer, AuditFixOwners, AdminKey,
       HookKilled, HookKilledAtStarted, HookKilledAtRelease, Deliver, Redeliver, GuestPolicyAway, Rotate, RotateUsed,
       RotateUsedShortly, RotateUndeliverable, GuestSaveRestore, *capabilities.ALL, *alerts.ALL, *federation.ALL]
BY_NAME = {workload.__name__: workload for workload in ALL}
