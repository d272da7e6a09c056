"""What the daemon is killed in where keys are tokens that this host signs: they live shortly, are replaced at half of their
life, and cannot be taken back; nobody has a list of them. The ledger alone says what was signed."""
import domains
import world as lab
from guests import Guest
from workload import Workload

IDS = "workspace = wrkspc_vms\norganization = 00000000-0000-4000-8000-00000000000a\nfederation-rule = fdrl_vms\n" \
      "service-account = svac_vms\n"


class Federated(Workload):
    provider = "federation"
    unlisted = True
    makes = 1

    def prepare(self):
        self.world.configure(provider=IDS)
        super().prepare()

    def running(self):
        """To begin with."""
        self.world.configure(provider=IDS)
        self.off()
        self.must(self.world.start())
        lab.wait_until(10, lambda: self.has_token() is None, "no token to begin with")
        self.signed = self.generations()

    def has_token(self):
        return self.keys(1, alive=0) or self.state_is("paused")

    def generations(self):
        domain = self.domain()
        return [key["generation"] for grant in domain["grants"] for key in grant["keys"]] if domain else None

    def all_signed(self):
        return [row["generation"] for row in self.world.ledger()["keys"] if row["minted_at"]]


class FederatedStart(Federated):
    def act(self):
        return self.world.start()

    def wrong(self):
        return self.has_token()


class FederatedStop(Federated):
    """Nothing is signed any more."""
    def prepare(self):
        self.running()

    def act(self):
        domains.destroy("dev-1")

    def wrong(self):
        return self.keys(0) or self.state_is("off")

    def done(self):
        signed = self.all_signed()
        return [] if signed == self.signed else [f"federation: {signed} were signed, and {self.signed} before the stop"]


class FederatedUndefine(FederatedStop):
    def act(self):
        domains.undefine("dev-1")
        super().act()

    def wrong(self):
        return self.gone()


class FederationApply(Workload):
    """An operator's, who has entered at Anthropic what it is to know, and asks again until he is told that it is there."""
    provider = "federation"
    PARTS = ("federation_issuers", "service_accounts", "workspaces", "federation_rules")

    def prepare(self):
        made = self.world.sandbox.control("POST", "/outside", {"action": "create-workspace", "name": "vms"})
        organisation = self.world.sandbox.state()["federation"]["organization_id"]
        self.world.configure(provider=f"workspace = {made['workspace_id']}\norganization = {organisation}\n")
        self.token = self.world.sandbox.control("POST", "/outside", {"action": "log-in"})["value"]
        self.off()
        self.obeyed = False

    def apply(self):
        answer = self.world.call("FederationApply", token=self.token)
        return answer["parts"] if isinstance(answer, dict) and answer["complete"] else None

    def act(self):
        self.again()

    def again(self):
        self.obeyed = self.obeyed or self.apply() is not None

    def wrong(self):
        if not self.obeyed:
            self.again()
            return "the operator was not obeyed"
        # Whoever died in between has left nothing that is made a second time.
        made = [part["part"] for part in self.apply() or [{"part": "?", "made": True}] if part["made"]]
        return f"made once more: {made}" if made else self.keys(0) or self.state_is("off")

    def done(self):
        made = [request["path"].split("?")[0].rsplit("/", 1)[1] for request in self.world.sandbox.control("GET", "/requests")["requests"]
                if request["method"] == "POST" and request["status"] in (200, 201)]
        twice = sorted({part for part in made if made.count(part) > 1})
        return [f"federation: {twice} were made twice"] if twice else [] if made else ["federation: nothing was made"]


class FederatedRefresh(Guest, Federated):
    """A token is replaced at half of its life, in the guest, at the same path; the earlier one stays until it has ended."""
    FILE = "ANTHROPIC_IDENTITY_TOKEN_FILE"
    seconds = 40

    def prepare(self):
        self.uuid = lab.GUEST_UUID
        self.world.configure(provider=IDS + "token-lifetime = 20s\n", policy="[policy guest]\nproviders = federation\n")
        self.world.guest_up()
        self.world.start_daemon()
        lab.wait_until(20, lambda: self.proven() is None, "nothing is delivered to begin with")
        self.signed = self.generations()

    def proven(self):
        domain = self.domain()
        return self.keys(1, state="active", alive=0) or \
            (None if domain and domain.get("delivery") == "proven" else f"delivery {domain and domain.get('delivery')}")

    def act(self):
        pass  # time does it

    def wrong(self):
        return super().wrong() or (None if self.generations() != self.signed else "it is still the old token")

    def done(self):
        active = [row["fingerprint"] for row in self.world.ledger()["keys"] if row["state"] == "active"]
        return [] if [self.world.guest_hash(self.FILE)] == active else ["the guest has not got the token that is in force"]


class AccountStart(Federated):
    """A service account of the domain's own, and a rule that takes its tokens and no other's."""
    def prepare(self):
        made = self.world.sandbox.control("POST", "/outside", {"action": "create-workspace", "name": "vms"})
        token = self.world.sandbox.control("POST", "/outside", {"action": "log-in"})["value"]
        place = f"workspace = {made['workspace_id']}\norganization = {self.federation()['organization_id']}\n"
        self.world.configure(provider=place)
        self.off()
        told = self.world.call("FederationApply", token=token)
        self.must(None if isinstance(told, dict) and told["complete"] else f"FederationApply: {told}")
        self.world.stop_daemon()
        path = self.world.sandbox.folder + "/org-admin"
        lab.write(path, token + "\n")
        self.world.configure(provider=f"{place}service-account = per-domain\nadmin-key = file:{path}\n")
        self.world.start_daemon()
        self.quiet()
        self.others = {account["id"] for account in self.federation()["service_accounts"]}  # the one that apply has made

    def federation(self):
        return self.world.sandbox.state()["federation"]

    def accounts(self):
        """That live and were made since: (id, its living rules)."""
        return [(account["id"], account["rules"]) for account in self.federation()["service_accounts"]
                if not account["archived_at"] and account["id"] not in self.others]

    def started(self):
        self.must(self.world.start())
        lab.wait_until(10, lambda: self.has_token() is None, "no token to begin with")
        self.signed = self.generations()

    def act(self):
        return self.world.start()

    def has_account(self):
        accounts = self.accounts()
        return None if len(accounts) == 1 and len(accounts[0][1]) == 1 else f"an account with a rule: {accounts}"

    def wrong(self):
        return self.has_token() or self.has_account()

    def crashed(self, ledger):
        # One whose making is in doubt is planned again, and known as one that may be there.
        known = [row["subject"] for row in ledger["containers"]
                 if row["state"] != "archived" and (row["state"] != "planned" or row["unknown"])]
        return [f"I1, I2: account {account} is there, and the ledger knows of none"
                for account, _ in self.accounts() if self.uuid not in known]

    def done(self):
        wanted = ["-".join([account, *rules]) for account, rules in self.accounts()]
        kept = [row["remote_id"] for row in self.world.ledger()["containers"] if row["state"] == "open"]
        return [] if wanted == kept else [f"federation: accounts {wanted}, and {kept} in the ledger"]


class AccountUndefine(AccountStart):
    """Rule and account go with the domain."""
    def prepare(self):
        super().prepare()
        self.started()

    def act(self):
        domains.undefine("dev-1")
        domains.destroy("dev-1")

    def wrong(self):
        return self.gone() or (f"left: {self.accounts()}" if self.accounts() else None)


ALL = [FederatedStart, FederatedStop, FederatedUndefine, FederationApply, FederatedRefresh, AccountStart, AccountUndefine]
