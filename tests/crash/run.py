#!/usr/bin/env python3
"""The crash matrix: the real daemon is killed at every failpoint that a workload passes, and again at those that the
recovery passes. CONTRIBUTING.md says how it is used, ARCHITECTURE.md what failpoints are. run.sh starts it.

usage: run.py [--pairs N|all] [--held FILE] [--labs N] [--seed N] [--minutes N] [--workload NAME]... [--passes one|all]

Of failpoints passed in a row with nothing durable and nothing external between them (one step's end, the next one's
beginning), a kill finds the same world: one of them is killed at, with --passes all each. One that is passed more than
three times in a life is killed at the first three.

--pairs N takes a sample of N, others with each --seed. All pairs take hours: with --held FILE a run leaves out those that
earlier runs of the same sources have written there, and writes there what has held. Prints TAP, and counts; the last of its
tests fail when less was done than was planned.

What a life passes is not always the same: a clock strikes, one of two answers comes first. A kill that its failpoint does
not come to is tried again; when it never comes, the life before it is watched once more, without the kill. If the
failpoint is not passed there either, the kill was planned by chance; a few of those are allowed. If it is, the kill is
tried some more times, and then it is one that was missed."""
import argparse
import collections
import hashlib
import json
import os
import queue
import random
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
PASSES = 3
TRIES, ROUNDS = 4, 3  # a kill is tried so often, and so often again when the life before it shows that it can be
BY_CHANCE = 0.01  # of the kills, at most, and one

ENDS = ("committed", "answered", "ended", "submitted", "kept", "forgotten", "taken-up")
BEGINS = ("committing", "sending", "submitting", "removing", "found")


def all_failpoints():
    text = open(f"{SOURCE}/src/base/failpoint.c").read()
    moments = {"COMMIT": ("committing", "committed"), "REQUEST": ("sending", "answered")}
    body = re.search(r"names\[\] = \{(.*?)\n\};", text, re.S).group(1)
    names = []
    for macro, name in re.findall(r'(COMMIT|REQUEST)?\(?"([a-z.-]+)"', body):
        names += [f"{name}.{moment}" for moment in moments[macro]] if macro else [name]
    return names


def numbered(passes):
    """["a", "b", "a"] as ["a:1", "b:1", "a:2"]."""
    counts = collections.Counter()
    orders = []
    for name in passes:
        counts[name] += 1
        orders.append(f"{name}:{counts[name]}")
    return orders


def same_world(one, other):
    """Nothing durable and nothing external lies between these two, passed in a row."""
    if one == "exchange.answered" and other.endswith(".answered"):
        return other != one
    return one.split(".")[1] in ENDS and other.split(".")[1] in BEGINS


class Held:
    """The pairs that held in earlier runs of the same sources, and those of this run. PATH may be None: in none."""
    def __init__(self, path):
        self.path = path
        self.lines = set()
        if not path:
            return
        title = f"of the sources {self.sources()}\n"
        if os.path.exists(path):
            with open(path) as file:
                if file.readline() == title:
                    self.lines = set(file.read().splitlines())
        if not self.lines:
            with open(path, "w") as file:
                file.write(title)

    @staticmethod
    def sources():
        digest = hashlib.sha256()
        for top in ("src", "hooks", "qemu-guest-agent", "tests/crash", "tests/sandbox"):
            for folder, folders, names in os.walk(f"{SOURCE}/{top}"):
                folders.sort()
                for name in sorted(names):
                    with open(f"{folder}/{name}", "rb") as file:
                        digest.update(f"{folder[len(SOURCE):]}/{name}\n".encode() + file.read())
        return digest.hexdigest()

    @staticmethod
    def line(case):
        return f"{case['workload']} {case['where']}"

    def __contains__(self, case):
        return self.line(case) in self.lines

    def add(self, case):
        if self.path and case not in self:
            self.lines.add(self.line(case))
            with open(self.path, "a") as file:
                file.write(self.line(case) + "\n")


class Plan:
    """Which of the failpoints that were passed are killed at."""
    def __init__(self, each):
        self.each = each
        self.chosen = collections.Counter()

    def choose(self, passes):
        """[(order, the first one of its group)]: who of a group has its turn differs from run to run, the first does not."""
        # What follows are tries, or questions whether a script has ended; how many, nobody can tell.
        kept = [(name, order) for name, order in zip(passes, numbered(passes)) if int(order.split(":")[1]) <= PASSES]
        passes, orders = [name for name, _ in kept], [order for _, order in kept]
        if self.each:
            return [(order, order) for order in orders]
        groups = []
        for i, order in enumerate(orders):
            if i and same_world(passes[i - 1], passes[i]):
                groups[-1].append(order)
            else:
                groups.append([order])
        # The one that was chosen least so far, so that in the end each name has had its turn.
        return [(self.least(group), group[0]) for group in groups]

    def least(self, group):
        order = min(group, key=lambda order: self.chosen[order.split(":")[0]])
        self.chosen[order.split(":")[0]] += 1
        return order


class Lab(threading.Thread):
    """Takes cases off the queue. GUESTS: it boots a guest when one is asked for."""
    def __init__(self, matrix, number, guests):
        super().__init__(daemon=True)
        self.matrix, self.number, self.guests = matrix, number, guests
        folder = f"{os.environ['TMPDIR']}/lab{number}"
        os.makedirs(folder, exist_ok=True)
        self.errors = open(folder + "/errors", "w")
        self.process = subprocess.Popen(
            ["bash", HERE + "/lab.sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=dict(os.environ, LAB_DIR=folder))

    def run(self):
        try:
            self.process.stdout.readline()  # ready
            while (case := self.matrix.next(self.guests)) is not None:
                self.process.stdin.write(json.dumps(case) + "\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
                self.matrix.done(json.loads(line) if line else
                                 {"case": case, "killed": [], "passes": [], "hook_passes": [], "wrong": [],
                                  "broken": f"lab {self.number} has died, see {self.errors.name}", "ms": 0})
                if not line:
                    return
            self.process.stdin.close()
            self.matrix.worked(json.loads(self.process.stdout.readline())["processor_s"])
            self.process.wait(60)
        except Exception as error:
            self.matrix.fail(f"lab {self.number}: {error!r}")


class Matrix:
    def __init__(self, options, workloads):
        self.options = options
        self.workloads = workloads  # name: class
        self.random = random.Random(options.seed)
        self.plan = Plan(options.passes == "all")
        self.condition = threading.Condition()
        self.waiting = collections.deque()  # cases, traces first
        self.guest_waiting = collections.deque()
        self.running = 0
        self.traces = collections.defaultdict(list)
        self.pairs = []          # all that singles have found
        self.extras_chosen = self.pairs_chosen = False
        self.where = {}          # failpoint: a case that is killed there
        self.spent = collections.Counter()
        self.tries, self.rounds = collections.Counter(), collections.Counter()
        self.planned = collections.Counter()  # by workload: singles; and "pairs"
        self.did = collections.Counter()
        self.unbegun = self.held_before = 0
        self.held = Held(options.held)
        self.missed = []
        self.by_chance = []
        self.passed = set()
        self.killed_at = set()
        self.kills = 0
        self.failures = collections.defaultdict(list)
        self.slowest = (0, "", "")
        self.processor_s = 0
        self.ends = time.monotonic() + 60 * options.minutes if options.minutes else None
        for name in workloads:
            for _ in range(self.traces_wanted(name)):
                self.add({"workload": name, "kills": []})

    def traces_wanted(self, name):
        """What a guest does is not always the same; only what was passed twice is killed at."""
        return 2 if self.workloads[name].guest else 1

    def add(self, case):
        (self.guest_waiting if self.workloads[case["workload"]].guest else self.waiting).append(case)

    # ---- called by labs ----

    def next(self, guests):
        with self.condition:
            while True:
                if self.pairs_chosen and self.ends and time.monotonic() > self.ends:
                    left = len(self.waiting) + len(self.guest_waiting)
                    self.planned["pairs"] -= left
                    self.unbegun += left
                    self.waiting.clear()
                    self.guest_waiting.clear()
                if guests and self.guest_waiting:
                    case = self.guest_waiting.popleft()
                elif self.waiting:
                    case = self.waiting.popleft()
                elif self.running or self.guest_waiting:
                    self.condition.wait(1)
                    continue
                elif not self.extras_chosen:
                    self.choose_extras()
                    continue
                elif not self.pairs_chosen:
                    self.choose_pairs()
                    continue
                else:
                    self.condition.notify_all()
                    return None
                self.running += 1
                return case

    def worked(self, seconds):
        with self.condition:
            self.processor_s += seconds

    def fail(self, text):
        with self.condition:
            self.failures["labs"].append(text)

    def done(self, result):
        with self.condition:
            self.running -= 1
            self.take(result)
            self.condition.notify_all()

    # ---- what a case has shown ----

    def take(self, result):
        case = result["case"]
        name = case["workload"]
        self.kills += len(result["killed"])
        self.spent[name] += result["ms"]
        self.killed_at.update(order.split(":")[-2] for order in result["killed"])
        for passes in result["passes"]:
            self.passed.update(passes)
        self.passed.update("hook:" + p for p in result["hook_passes"])
        if not result.get("prepared", True) and self.again(case):
            return  # nothing had been done yet that could have gone wrong
        if result["wrong"] or result["broken"]:
            self.complain(result)
            if "asks" not in case:
                self.did[name if len(case["kills"]) < 2 else "pairs"] += len(case["kills"]) > 0
            return
        self.slowest = max(self.slowest, (result["converged_ms"], name, " ".join(case["kills"])))
        if "asks" in case:
            self.asked(result)
        elif not case["kills"]:
            self.traced(result)
        elif len(result["killed"]) < len(case["kills"]):
            self.missing(case, result)
        elif len(case["kills"]) == 1:
            self.did[name] += 1
            self.pairs += [{"workload": name, "kills": case["kills"] + [order], "where": f"{case['where']} {first}"}
                           for order, first in self.plan.choose(result["passes"][-1])]
        else:
            self.did["pairs"] += 1
            self.held.add(case)

    def traced(self, result):
        name = result["case"]["workload"]
        self.traces[name].append(result)
        if len(self.traces[name]) < self.traces_wanted(name):
            return
        one, two = self.traces[name][0], self.traces[name][-1]
        if getattr(self.workloads[name], "hook", False):
            orders = [("hook:" + order,) * 2 for order in numbered(one["hook_passes"])]
        else:
            both = collections.Counter(numbered(two["passes"][0]))
            orders = [(order, first) for order, first in self.plan.choose(one["passes"][0]) if both[order]]
        self.planned[name] = len(orders)
        for order, first in orders:
            self.add({"workload": name, "kills": [order], "where": first})
        for passed in one["passes"][0]:
            self.where.setdefault(passed, name)

    def again(self, case):
        key = json.dumps(case)
        self.tries[key] += 1
        if self.tries[key] < TRIES:
            self.add(case)
        return self.tries[key] < TRIES

    def missing(self, case, result):
        if self.again(case):
            return
        if case["kills"][-1].startswith("hook:"):
            self.miss(case, result)
        else:
            self.add({**case, "kills": case["kills"][:-1], "asks": case["kills"][-1]})

    def asked(self, result):
        """Is it passed where nothing kills?"""
        case = result["case"]
        missed = {"workload": case["workload"], "kills": case["kills"] + [case["asks"]], "where": case["where"]}
        key = json.dumps(missed)
        self.rounds[key] += 1
        if len(result["killed"]) == len(case["kills"]) and case["asks"] not in numbered(result["passes"][-1]):
            self.planned[case["workload"] if not case["kills"] else "pairs"] -= 1
            self.by_chance.append(self.words(missed))
        elif self.rounds[key] < ROUNDS:
            self.tries[key] = 0
            self.add(missed)
        else:
            self.miss(missed, result)

    @staticmethod
    def words(case):
        return f"{case['workload']} at {', then '.join(case['kills'])}"

    def miss(self, case, result):
        self.missed.append(f"{self.words(case)}: not passed: {' '.join(result['passes'][-1])[-300:]}")

    def complain(self, result):
        case = result["case"]
        where = ", then ".join(case["kills"]) or "no kill"
        text = f"killed at {where}:\n" + "\n".join("  " + line for line in result["wrong"])
        if result["broken"]:
            text += "\n" + result["broken"]
        if "log" in result:
            text += "\n  the daemon's log:\n" + "\n".join("  | " + line for line in result["log"].splitlines()[-25:])
        self.failures[case["workload"]].append(text)
        print("".join(f"# {line}\n" for line in f"{case['workload']} {text}".splitlines()), end="", flush=True)

    def choose_extras(self):
        """Where a neighbour was always chosen instead."""
        self.extras_chosen = True
        for passed, name in self.where.items():
            if passed not in self.killed_at:
                self.planned[name] += 1
                self.add({"workload": name, "kills": [passed + ":1"], "where": passed + ":1"})

    def choose_pairs(self):
        self.pairs_chosen = True
        chosen = [pair for pair in self.pairs if pair not in self.held]
        self.held_before = len(self.pairs) - len(chosen)
        if self.options.pairs == "all":
            self.random.shuffle(chosen)  # so that one that is ended early has seen some of each
        else:
            chosen = self.random.sample(chosen, min(int(self.options.pairs), len(chosen)))
        self.planned["pairs"] = len(chosen)
        for case in chosen:
            self.add(case)


class Tap:
    def __init__(self):
        self.count = self.bad = 0

    def test(self, good, name, why=""):
        self.count += 1
        self.bad += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}")
        for line in why.splitlines() if not good else []:
            print("# " + line)


def report(matrix, started):
    tap = Tap()
    for name in matrix.workloads:
        failures = matrix.failures[name]
        tap.test(matrix.planned[name] > 0 and not failures,
                 f"{name}: killed at {matrix.did[name]} failpoints, and in pairs",
                 "\n".join(failures[:3]) + f"\n{len(failures)} cases failed" if failures else "nothing was planned")
    tap.test(not matrix.failures["labs"], "all labs worked to the end", "\n".join(matrix.failures["labs"]))
    singles = sum(count for name, count in matrix.planned.items() if name != "pairs")
    done = sum(count for name, count in matrix.did.items() if name != "pairs")
    tap.test(not matrix.missed and done == singles and matrix.did["pairs"] == matrix.planned["pairs"],
             f"all kills that were planned: {done} of {singles} singles, {matrix.did['pairs']} of "
             f"{matrix.planned['pairs']} pairs", "\n".join(matrix.missed))
    allowed = 1 + int(BY_CHANCE * (singles + matrix.planned["pairs"] + matrix.held_before))
    for text in matrix.by_chance:
        print(f"# planned by chance: {text}")
    tap.test(len(matrix.by_chance) <= allowed, f"{len(matrix.by_chance)} planned by chance are at most {allowed}")
    everything = all_failpoints()
    if not matrix.options.workload:
        never = [p for p in everything if p not in matrix.passed]
        tap.test(not never, f"each of the {len(everything)} failpoints was passed", " ".join(never))
        unkilled = [p for p in everything if p not in matrix.killed_at]
        tap.test(not unkilled, "and killed at", " ".join(unkilled))
        steps = [p for p in everything if p.startswith("file.")][:5]
        tap.test(all("hook:" + p in matrix.passed for p in steps), "the hook passed those of its own")
        tap.test(matrix.kills >= matrix.options.least, f"{matrix.kills} kills are at least {matrix.options.least}")
    violations = sum(len(f) for f in matrix.failures.values())
    print(f"# {len(matrix.workloads)} workloads, {len(everything)} failpoints, {done} singles, "
          f"{matrix.did['pairs']} pairs (of {len(matrix.pairs)} found, {matrix.held_before} held before, {matrix.unbegun} not begun in time; seed {matrix.options.seed}), "
          f"{matrix.kills} kills, {violations} violations; the slowest converged in {matrix.slowest[0]} ms "
          f"({matrix.slowest[1]} {matrix.slowest[2]}); {time.monotonic() - started:.0f} s, "
          f"{matrix.processor_s:.0f} s of processor time")
    print("# seconds: " + ", ".join(f"{name} {ms / 1000:.0f}" for name, ms in matrix.spent.most_common()))
    print(f"1..{tap.count}")
    return tap.bad


def tell(matrix, started):
    """A line a minute."""
    with matrix.condition:
        singles = sum(count for name, count in matrix.did.items() if name != "pairs")
        planned = sum(count for name, count in matrix.planned.items() if name != "pairs")
        pairs = f", {matrix.did['pairs']} of {matrix.planned['pairs']} pairs" if matrix.pairs_chosen else ""
        print(f"# {(time.monotonic() - started) / 60:.0f} min: {singles} of {planned} singles{pairs}, "
              f"{sum(len(failed) for failed in matrix.failures.values())} violations", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", default="0")
    parser.add_argument("--held", metavar="FILE")
    parser.add_argument("--labs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86400)
    parser.add_argument("--workload", action="append", default=[])
    parser.add_argument("--passes", choices=("one", "all"), default="one")
    parser.add_argument("--least", type=int, default=0, help="kills; a run with fewer fails")
    parser.add_argument("--minutes", type=float, help="no further pair is begun after that")
    options = parser.parse_args()
    os.environ.setdefault("LAB_DIR", "/nowhere")  # world.py is of the lab; here only the workloads' names are wanted
    from workloads import BY_NAME
    chosen = {name: BY_NAME[name] for name in options.workload or BY_NAME}
    started = time.monotonic()
    matrix = Matrix(options, chosen)
    labs = [Lab(matrix, number, number < max(2, options.labs // 2)) for number in range(options.labs)]
    for lab in labs:
        lab.start()
    for lab in labs:
        while lab.is_alive():
            lab.join(max(1, 60 - (time.monotonic() - started) % 60))
            if lab.is_alive():
                tell(matrix, started)
    if report(matrix, started):
        sys.exit(1)


if __name__ == "__main__":
    main()
