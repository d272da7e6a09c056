"""What the daemon is killed in. Each has a state to begin with, a deed, and what must be true in the end.

prepare() runs with a daemon that nothing kills. act() is the deed, with the failpoint armed; again() follows each
restart and does what somebody would who saw that his command was not obeyed. wrong() says what is not yet as it must
be, None when all is; it is asked until it has nothing to say."""
import invariants
import world as lab

SETTLED = ("minted", "active")


def lost(what, match):
    """The REQUEST itself, or the ANSWER to what was carried out."""
    return {"match": match, "mode": {"request": "drop-before", "answer": "drop-after"}[what]}


class Workload:
    guest = False   # needs the booted guest
    provider = "openai"
    makes = 0       # keys that the deed may make, besides one for each minting that a crash left in doubt
    at_once = 1     # keys of a domain that may be alive at the same time
    copies = 1      # keys of one name that may ever have been made
    unlisted = False # the provider does not know its keys
    orphans = ()    # names of ours that somebody else has made: unknown to the ledger until an audit is mended
    verdicts = ()   # of an audit in the end, besides ok and what others made
    seconds = 20    # to converge after the last restart
    fault = None    # of the provider, from the deed on: lost() makes one
    planned = False # a container may stay planned, or in doubt: the next start or the undefine settles it

    def __init__(self, world):
        self.world = world
        self.uuid = ""

    @property
    def name(self):
        return type(self).__name__

    @property
    def uuids(self):
        return [self.uuid]

    # ---- to begin with ----

    def prepare(self):
        self.off()

    def off(self):
        self.uuid = self.world.define()
        self.world.start_daemon()
        self.quiet()

    def minted(self, **more):
        self.uuid = self.world.define(**more)
        self.world.start_daemon()
        self.quiet()
        self.must(self.world.start())
        lab.wait_until(10, lambda: self.keys(1) is None, "no key to begin with")

    def must(self, problem):
        if problem:
            raise lab.Broken(problem)

    def quiet(self):
        """libvirt has been heard of: what a start-up does is not the deed's."""
        lab.wait_until(10, lambda: (self.world.status() or {}).get("libvirt_connected"), "libvirt is not connected")

    # ---- in the end ----

    def domain(self, uuid=None):
        status = self.world.status()
        if not isinstance(status, dict):
            return None
        return next((d for d in status["domains"] if d["uuid"] == (uuid or self.uuid)), {"grants": [], "state": None})

    def keys(self, count, uuid=None, state=None, alive=None):
        """COUNT keys are alive, the daemon knows of as many, and nothing is under way or in doubt."""
        uuid = uuid or self.uuid
        domain = self.domain(uuid)
        if domain is None:
            return "the daemon does not answer"
        rows = [key for grant in domain["grants"] for key in grant["keys"]]
        loose = [f"{key['name']} is {key['state']}" for key in rows
                 if key["state"] not in ((state,) if state else SETTLED)]
        seen = len(list(invariants.live_keys(self.world.sandbox.state(), uuid)))
        if loose or len(rows) != count or seen != (count if alive is None else alive):
            return f"{count} keys are to be: {seen} are alive, {len(rows)} in the ledger; {', '.join(loose)}"
        busy = [grant["container_state"] for grant in domain["grants"]
                if grant.get("container_state") not in (None, "open", "archived", *(self.planned and ("planned", "creating") or ()))]
        return f"a container is {busy[0]}" if busy else None

    def state_is(self, *states):
        domain = self.domain()
        return None if domain and domain["state"] in states else f"state {domain and domain['state']}, not {states}"

    def come(self, condition, what, seconds=10):
        """It has, or the daemon is dead. Neither: the deed would be another one, which nobody has asked for."""
        lab.wait_until(seconds, lambda: self.world.daemon.poll() is not None or condition(), what)

    def noticed(self, state):
        """The daemon has seen it so: else what follows at once could be all it ever sees."""
        self.come(lambda: self.state_is(state) is None, f"not seen {state}")

    def gone(self, uuid=None):
        """Nothing of the domain is left, neither here nor there."""
        domain = self.domain(uuid)
        if domain is None or domain["state"] is not None:
            return "the domain is not forgotten"
        left = list(invariants.live_projects(self.world.sandbox.state(), uuid or self.uuid))
        return f"{left[0]} is not archived" if left else self.keys(0, uuid=uuid)

    # ---- the deed ----

    def act(self):
        raise NotImplementedError

    def again(self):
        pass

    def crashed(self, ledger):
        """Called whenever the daemon has died, besides what always holds: sentences."""
        return []

    def done(self):
        """Called in the end, when wrong() has nothing to say: sentences."""
        return []

    def audited(self, rows):
        """What the audit's rows must say besides."""
        return []

    def wrong(self):
        raise NotImplementedError


# ---- without a guest ----
