"""What the daemon is killed in at providers that can other things than OpenAI can: keys with limits of their own, that are
suspended and work again, that are made with a secret of our choosing, that come from a pool."""
import domains
import invariants
import world as lab
from workload import Workload, lost


class Capable(Workload):
    provider = "openrouter"
    SUSPENDS = "on-stop = suspend\n"
    makes = 1

    def prepare(self):
        self.world.configure(policy=self.world.policy + self.SUSPENDS)
        self.off()

    def suspended(self):
        """To begin with: it ran, and was stopped."""
        self.world.configure(policy=self.world.policy + self.SUSPENDS)
        self.minted()
        self.hashes = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))
        domains.destroy("dev-1")
        lab.wait_until(15, lambda: self.is_suspended() is None, "not suspended to begin with")

    def is_suspended(self):
        problem = self.keys(1, state="suspended", alive=0) or self.state_is("off")
        domain = None if problem else self.domain()
        return problem or (None if domain and domain["grants"][0]["keys"][0].get("suspended_at") else
                           "it is not certain that it is suspended")

    def works(self):
        return self.keys(1) or self.state_is("paused")

    def same(self):
        now = list(invariants.live_keys(self.world.sandbox.state(), self.uuid))
        return [] if now == self.hashes else ["I3: it is another key than before the stop"]

    # What most of them do: a start, and a key that works.

    def act(self):
        return self.world.start()

    def wrong(self):
        return self.works()


class LimitedStart(Capable):
    """The limit is the key's own."""
    def done(self):
        limits = [key["limit_micro_usd"] for key in self.world.sandbox.state()["gateway_keys"] if self.uuid in key["name"] and
                  not key.get("deleted_ms")]
        return [] if limits == [25000000] else [f"I6: limits {limits}"]


class LimitedAnswerLost(LimitedStart):
    makes = 2
    fault = lost("answer", "POST /api/v1/keys")


class LimitedChange(Capable):
    """Another limit reaches the key that lives."""
    SUSPENDS = ""
    makes = 0

    def prepare(self):
        self.minted()

    def act(self):
        self.world.configure(policy=self.world.policy.replace("25", "50"))
        self.world.reload()

    def limits(self):
        return [key["limit_micro_usd"] for key in self.world.sandbox.state()["gateway_keys"] if self.uuid in key["name"]]

    def wrong(self):
        problem = self.works()
        domain = None if problem else self.domain()
        told = [key.get("monthly_limit") for grant in (domain or {"grants": []})["grants"] for key in grant["keys"]]
        return problem or (None if self.limits() == told == [50000000] else f"limits {self.limits()}, and told {told}")

    def done(self):
        noted = [row["limit_set"] for row in self.world.ledger()["keys"]]
        return [] if noted == self.limits() else [f"the ledger says {noted}"]


class LimitedChangeAnswerLost(LimitedChange):
    fault = lost("answer", "PATCH *")


class Suspend(Capable):
    makes = 0

    def prepare(self):
        self.world.configure(policy=self.world.policy + self.SUSPENDS)
        self.minted()

    def act(self):
        domains.destroy("dev-1")

    def wrong(self):
        return self.is_suspended()


class SuspendAnswerLost(Suspend):
    fault = lost("answer", "PATCH *")


class SuspendRequestLost(Suspend):
    fault = lost("request", "PATCH *")


class Resume(Capable):
    makes = 0

    def prepare(self):
        self.suspended()

    def done(self):
        return self.same()


class ResumeAnswerLost(Resume):
    fault = lost("answer", "PATCH *")


class ResumeVanished(Resume):
    """Somebody has deleted it while it was suspended."""
    makes = 1

    def act(self):
        for key in self.world.sandbox.state()["gateway_keys"]:
            if self.uuid in key["name"]:
                self.world.sandbox.control("POST", "/outside", {"action": "gateway-delete-key", "api_key_id": key["id"]})
        return super().act()

    def done(self):
        return []


class SuspendUndefine(Capable):
    makes = 0

    def prepare(self):
        self.suspended()

    def act(self):
        domains.undefine("dev-1")

    def wrong(self):
        return self.gone()


class ChosenAnswerLost(Capable):
    """We choose the secret: asked for once more, it makes the same key."""
    provider = "litellm"
    SUSPENDS = ""
    fault = lost("answer", "POST /litellm/key/generate")


class Pooled(Capable):
    """Keys that a person has made, and put into the pool."""
    provider = "anthropic"
    SUSPENDS = ""
    POOL = 2
    makes = 0

    def fill(self):
        self.world.start_daemon()
        self.quiet()
        for number in range(self.POOL):
            self.made(number)
            lab.wait_until(10, lambda: isinstance(self.add(number), dict), "the pool takes no key")
        self.world.stop_daemon()

    def made(self, number):
        """In the Console."""
        made = self.world.sandbox.control("POST", "/outside", {"action": "create-api-key", "name": f"console-{number}"})
        self.values = {**getattr(self, "values", {}), number: made["value"]}

    def add(self, number):
        return self.world.call("PoolAdd", provider="anthropic", secret=self.values[number], label=f"console-{number}")

    def pool(self):
        """The labels of what is in it; None: nobody answers."""
        answer = self.world.call("PoolList")
        return sorted(row["label"] for row in answer["keys"]) if isinstance(answer, dict) else None


class PoolAdd(Pooled):
    """An operator's, who adds a key again when nobody has answered him: it is in the pool once."""
    def prepare(self):
        self.off()
        self.made(0)
        self.obeyed = False

    def act(self):
        self.again()

    def again(self):
        # Its answer may have been lost, and it was obeyed: then it is refused, and in the pool.
        self.obeyed = self.obeyed or isinstance(self.add(0), dict) or self.pool() == ["console-0"]

    def wrong(self):
        if not self.obeyed:
            self.again()
            return "the operator was not obeyed"
        return self.keys(0) or self.state_is("off")

    def done(self):
        states = [row["state"] for row in self.world.ledger()["pool"]]
        return [] if states == ["free"] else [f"pool: {states}"]


class PoolRemove(PoolAdd):
    """The first of two is taken out again."""
    def prepare(self):
        self.fill()
        self.off()
        self.id = next(key["id"] for name, key, _, _ in invariants.others(self.world.sandbox.state()) if name == "console-0")
        self.obeyed = False

    def again(self):
        self.obeyed = self.obeyed or isinstance(self.world.call("PoolRemove", provider="anthropic", id=self.id), dict) or \
            self.pool() == ["console-1"]

    def done(self):
        left = [row["hint"] for row in self.world.ledger()["pool"]]
        return super().done() + ([] if left == ["console-1"] else [f"pool: {left} are left"])


class Claim(Pooled):
    """The pool's first key becomes the domain's."""
    makes = 1

    def prepare(self):
        self.fill()
        self.off()

    def suspended(self):
        self.fill()
        super().suspended()

    def done(self):
        """One is the domain's, and the pool says which, and what its secret is."""
        claimed = [(row["remote_id"], row["fingerprint"]) for row in self.world.ledger()["pool"] if row["state"] == "claimed"]
        named = [(key["id"], key["sha256"]) for name, key, _, _ in invariants.others(self.world.sandbox.state())
                 if self.uuid in name]
        return [] if claimed == named and len(named) == 1 else [f"pool: {claimed} are claimed, {named} are named"]


class ClaimAnswerLost(Claim):
    fault = lost("answer", "POST /v1/organizations/api_keys/*")


class ClaimTwo(Claim):
    """Two domains, and a key each."""
    def prepare(self):
        super().prepare()
        self.second = self.world.define("dev-2")

    @property
    def uuids(self):
        return [self.uuid, self.second] if hasattr(self, "second") else [self.uuid]

    def act(self):
        return self.world.start("dev-1") or self.world.start("dev-2")

    def wrong(self):
        return self.keys(1) or self.keys(1, uuid=self.second)

    def done(self):
        hashes = list(invariants.live_keys(self.world.sandbox.state()))
        return [] if len(hashes) == len(set(hashes)) == 2 else [f"pool: {len(hashes)} keys for two domains"]


class ClaimedStop(Claim):
    """It is switched off, and stays the domain's."""
    makes = 0

    def prepare(self):
        self.fill()
        self.minted()

    def act(self):
        domains.destroy("dev-1")

    def wrong(self):
        return self.is_suspended()


class ClaimedStart(Claim):
    """It is switched on again."""
    makes = 0

    def prepare(self):
        self.suspended()

    def done(self):
        return super().done() + self.same()


class ClaimedUndefine(Claim):
    """It is archived, and the pool's next one is free as before."""
    makes = 0

    def prepare(self):
        self.suspended()

    def act(self):
        domains.undefine("dev-1")

    def wrong(self):
        return self.gone()

    def done(self):
        states = sorted(row["state"] for row in self.world.ledger()["pool"])
        return [] if states == ["free", "spent"] else [f"pool: {states}"]


class ClaimVanished(Claim):
    """Somebody has archived the pool's first key in the Console: the next one is taken."""
    makes = 2

    def act(self):
        _, key, _, _ = next(other for other in invariants.others(self.world.sandbox.state()) if other[0] == "console-0")
        self.world.sandbox.control("POST", "/outside", {"action": "set-api-key", "api_key_id": key["id"], "status": "archived"})
        return super().act()

    def done(self):
        return []


class ProgramStart(Capable):
    """A program is the provider, and goes on when the daemon dies."""
    provider = "gateway"
    makes = 1
    at_once = 2  # the one whose answer nobody heard may be made after the next one was


class ProgramSuspend(Suspend):
    provider = "gateway"


class ProgramResume(Resume):
    provider = "gateway"


class ProgramUndefine(SuspendUndefine):
    provider = "gateway"


class Leased(Capable):
    """A key ends by itself, and is renewed as long as it is to be kept."""
    provider = "vault"
    SUSPENDS = ""
    LEASE = 6  # seconds
    seconds = 30

    def prepare(self):
        self.world.sandbox.control("POST", "/knobs", {"vault_lease_s": self.LEASE})
        super().prepare()

    def leases(self):
        return [lease for lease in self.world.sandbox.state()["vault"]["leases"] if self.uuid in lease["asked"]["note"]]


class LeasedStart(Leased):
    """Its lease is renewed twice, whoever dies meanwhile."""
    def act(self):
        return self.world.start()

    def wrong(self):
        renewed = [lease["renewals"] for lease in self.leases() if lease["live"]]
        return self.works() or (None if renewed and renewed[0] >= 2 else "it was not renewed twice")

    def done(self):
        """How long one whose minting is in doubt is waited for."""
        noted = self.world.ledger()["texts"].get("lease of vault")
        return [] if noted == f"{self.LEASE}000" else [f"lease: {noted} ms are noted"]


class LeasedAnswerLost(Leased):
    """It cannot be looked for; the next one need not wait for its end."""
    makes = 2
    at_once = 2
    fault = lost("answer", "POST /vault/v1/openai/creds/dev")


class LeasedStop(Leased):
    makes = 0

    def prepare(self):
        self.world.sandbox.control("POST", "/knobs", {"vault_lease_s": self.LEASE})
        self.minted()

    def act(self):
        domains.destroy("dev-1")

    def wrong(self):
        return self.keys(0) or self.state_is("off")


class LeasedVanished(LeasedStop):
    """Somebody has revoked it at Vault: a renewal finds that out."""
    makes = 1

    def act(self):
        self.before = self.leases()[0]["id"]
        self.world.sandbox.control("POST", "/outside", {"action": "vault-revoke-lease", "api_key_id": self.before})

    def wrong(self):
        return self.works()


class HostKeyStart(Capable):
    """The host's own key: nobody is asked for anything."""
    provider = "host"
    unlisted = True
    SUSPENDS = ""

    def act(self):
        return self.world.start()

    def wrong(self):
        return self.keys(1, alive=0) or self.state_is("paused")


class HostKeyUndefine(HostKeyStart):
    makes = 0

    def prepare(self):
        self.uuid = self.world.define()
        self.world.start_daemon()
        self.quiet()
        self.must(self.world.start())
        lab.wait_until(10, lambda: super(HostKeyUndefine, self).wrong() is None, "no key to begin with")

    def act(self):
        domains.undefine("dev-1")
        domains.destroy("dev-1")

    def wrong(self):
        return self.gone()


ALL = [PoolAdd, PoolRemove, LimitedStart, LimitedAnswerLost, LimitedChange, LimitedChangeAnswerLost, Suspend, SuspendAnswerLost,
       SuspendRequestLost, Resume, ResumeAnswerLost, ResumeVanished,
       SuspendUndefine, ChosenAnswerLost, Claim, ClaimAnswerLost, ClaimTwo, ClaimedStop, ClaimedStart, ClaimedUndefine,
       ClaimVanished, ProgramStart, ProgramSuspend, ProgramResume, ProgramUndefine, HostKeyStart, HostKeyUndefine, LeasedStart,
       LeasedAnswerLost, LeasedStop, LeasedVanished]
