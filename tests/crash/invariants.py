"""What must hold at the moment of every crash, and in the end. Each check returns sentences; none is good.

I1 no orphan, I2 revoke before forget, I3 a key in use is not revoked, I4 not two at once, and no generation twice.
Sandbox and ledger are two witnesses that share no code."""
OURS = "llmhook:"
HELD = ("minted", "active", "suspended", "retiring")  # rows whose secret is what the provider has


def others(sandbox):
    """The keys of the providers that have no projects, and Anthropic's, which were made by a person and got our names later:
    (name, key, ended_ms or None, whether it works)."""
    for key in sandbox["gateway_keys"]:
        ended = key.get("deleted_ms")
        yield key["name"] or "", key, ended, not ended and not key["disabled"]
    for lease in sandbox["vault"]["leases"]:
        dead = None if lease["live"] else lease.get("revoked_ms") or lease["ends_ms"]
        yield (lease["asked"] or {}).get("note", ""), dict(lease, created_ms=lease["made_ms"]), dead, lease["live"]
    for workspace in sandbox["anthropic"]["workspaces"]:
        for key in workspace["keys"]:
            yield key["name"], key, key.get("archived_ms"), key["live"]


def accounts(sandbox, uuid=""):
    """Of our names, dead and alive: (name, alive, created_ms, ended_ms or None)."""
    for name, key, ended, _ in others(sandbox):
        if name.startswith(OURS) and uuid in name:
            yield name, not ended, key["created_ms"], ended
    for project in sandbox["projects"]:
        for account in project["service_accounts"]:
            if account["name"].startswith(OURS) and uuid in account["name"]:
                ended = account.get("deleted_ms") or project.get("archived_ms")
                yield account["name"], not ended, account["created_ms"], ended


def secrets(sandbox, uuid=""):
    """Of the keys of our names that have not ended: (name, SHA-256, whether it works)."""
    for name, key, ended, works in others(sandbox):
        if not ended and name.startswith(OURS) and uuid in name:
            yield name, key["sha256"], works
    for project in sandbox["projects"]:
        if project.get("archived_ms"):
            continue
        names = {account["id"]: account["name"] for account in project["service_accounts"]}
        for key in project["keys"]:
            name = names.get(key["service_account_id"], "")
            if not key.get("deleted_ms") and name.startswith(OURS) and uuid in name:
                yield name, key["sha256"], True


def live_keys(sandbox, uuid=""):
    """SHA-256 of the keys that work, of accounts of our names."""
    return (sha256 for _, sha256, works in secrets(sandbox, uuid) if works)


def live_projects(sandbox, uuid=""):
    for project in sandbox["projects"]:
        if project["name"].startswith(OURS) and uuid in project["name"] and not project.get("archived_ms"):
            yield project["name"]


def at_once(sandbox, uuid):
    """The most accounts of a domain that were ever alive at the same time."""
    changes = []
    for _, _, created, ended in accounts(sandbox, uuid):
        changes += [(created, 1)] + ([(ended, -1)] if ended else [])
    alive = most = 0
    for _, change in sorted(changes):
        alive += change
        most = max(most, alive)
    return most


def crashed(sandbox, ledger, case):
    """Holds whenever the daemon dies: whatever the provider has, the ledger knows of."""
    wrong = []
    rows = {row["name"]: row for row in ledger["keys"]}
    for name, alive, _, _ in accounts(sandbox):
        row = rows.get(name)
        if alive and not row and name in case.workload.orphans:
            continue
        if alive and not row:
            wrong.append(f"I1: {name} is alive and not in the ledger")
        elif alive and row["state"] == "revoked":
            wrong.append(f"I2: {name} is alive and revoked in the ledger")
        elif alive and row["state"] == "planned":
            wrong.append(f"I1: {name} is alive, and the ledger says that nothing was asked for")
    of_name = {}  # there may be another of that name, whose secret nobody has
    for name, sha256, _ in secrets(sandbox):
        of_name.setdefault(name, set()).add(sha256)
    wrong += [f"secret: {name} is {rows[name]['state']}, and what the ledger has of it is no key of that name"
              for name, hashes in of_name.items()
              if name in rows and rows[name]["state"] in HELD and rows[name]["fingerprint"] not in hashes]
    for name, _, _, works in others(sandbox):
        row = rows.get(name)
        if works and row and row["state"] == "suspended" and row["suspended_at"]:
            wrong.append(f"suspension: {name} works, and the ledger is certain that it does not")
    free = {row["remote_id"] for row in ledger["pool"] if row["state"] == "free"}
    wrong += [f"pool: {name} works, and no domain has it" for name, key, _, works in others(sandbox)
              if works and key.get("id") in free]
    containers = {row["name"]: row for row in ledger["containers"]}
    for name in live_projects(sandbox):
        same = [row for row in containers.values() if row["name"] == name]
        if not same and name not in case.workload.orphans:
            wrong.append(f"I1: project {name} is there and not in the ledger")
    if ledger["integrity"] != "ok":
        wrong.append(f"ledger: {ledger['integrity']}")
    names = [name for name, _, _, _ in accounts(sandbox)]
    for name in set(names):
        if names.count(name) > case.workload.copies:
            wrong.append(f"generation {name} was made {names.count(name)} times")
    for uuid in case.uuids:
        most = at_once(sandbox, uuid)
        # One whose minting was in doubt may be there unseen, without a secret, beside the next one.
        allowed = case.workload.at_once + case.doubts.get(uuid, 0)
        if most > allowed:
            wrong.append(f"I4: {most} keys of {uuid} were alive at once, {allowed} may be")
    successors = {row["predecessor"]: row for row in ledger["keys"] if row.get("predecessor")}
    for row in ledger["keys"]:
        next_one = successors.get(row["id"])
        if row.get("retiring_at") and not (next_one and 0 < next_one["active_at"] <= row["retiring_at"]):
            wrong.append(f"I5: {row['name']} retires, and its successor is not proven")
    return wrong


def converged(sandbox, ledger, case):
    """Holds in the end, besides what the workload itself expects."""
    wrong = crashed(sandbox, ledger, case)
    alive = {name for name, is_alive, _, _ in accounts(sandbox) if is_alive}
    for row in ledger["keys"]:
        if row["state"] in HELD and row["name"] not in alive and \
                not case.workload.unlisted:
            wrong.append(f"I3: {row['name']} is {row['state']} in the ledger and not alive")
    for uuid in case.uuids:
        made = len({name for name, _, _, _ in accounts(sandbox, uuid)})
        most = case.made_before.get(uuid, 0) + case.workload.makes + case.doubts.get(uuid, 0)
        if made > most:
            wrong.append(f"I3: {made} keys were made for {uuid}, {most} are accounted for")
    return wrong


def audit(answer, case):
    """What the daemon's own audit says must be what we see."""
    if not isinstance(answer, dict) or not answer["complete"]:
        return [f"audit: not complete: {answer}"]
    bad = [row for row in answer["rows"] if row["verdict"] not in ("ok", "another host's", "not ours") and
           row["verdict"] not in case.workload.verdicts]
    return [f"audit: {row['verdict']}: {row['name']}: {row['reason']}" for row in bad] + \
           [f"audit: {problem}" for problem in answer["problems"]] + case.workload.audited(answer["rows"])
