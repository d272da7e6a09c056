#!/usr/bin/env python3
"""Line and branch coverage, from what gcov reads out of the counters that instrumented programs have left.

usage: coverage.py [--all] SOURCE FOLDER...

SOURCE is the tree the programs were built from, FOLDER below it is what to report on ("src/lifecycle"). Counters are
looked for in the current folder and below. Prints a line for each FOLDER; with --all each line that never ran, and each
branch that was never taken, and exits 1 if there are any.

A branch is what gcc has made one of: each outcome of each part of a condition, each case of a switch. Where one source
is in several programs, the counts are added up.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys


class File:
    def __init__(self):
        self.lines = collections.Counter()
        # Of one line in one function, by position: gcc numbers them alike in each program that has the function.
        self.branches = {}

    def add(self, line):
        number = line["line_number"]
        self.lines[number] += line["count"]
        counts = [branch["count"] for branch in line["branches"]]
        key = (number, line.get("function_name", ""), len(counts))
        seen = self.branches.setdefault(key, [0] * len(counts))
        self.branches[key] = [one + other for one, other in zip(seen, counts)]

    def figures(self):
        branches = [count for counts in self.branches.values() for count in counts]
        return (sum(1 for count in self.lines.values() if count), len(self.lines),
                sum(1 for count in branches if count), len(branches))

    def gaps(self):
        for number, count in sorted(self.lines.items()):
            if not count:
                yield f"{number}: never run"
        for (number, _, total), counts in sorted(self.branches.items()):
            missed = counts.count(0)
            if missed and self.lines[number]:
                yield f"{number}: {missed} of {total} branches never taken"


def read(source):
    """All files below SOURCE that counters know of, by their path in it."""
    files = collections.defaultdict(File)
    # A program's counters come to be when it first ends; without them its lines have never run.
    objects = sorted(pathlib.Path(".").rglob("*.gcno"))
    if not objects:
        sys.exit("coverage: nothing here was built with --coverage")
    for start in range(0, len(objects), 50):
        some = [str(one) for one in objects[start:start + 50]]
        said = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", *some], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        for report in said.splitlines():
            if not report:
                continue
            report = json.loads(report)
            for one in report["files"]:
                path = os.path.realpath(os.path.join(report["current_working_directory"], one["file"]))
                if path.startswith(source + os.sep):
                    for line in one["lines"]:
                        files[path[len(source) + 1:]].add(line)
    return files


def percent(part, whole):
    # 100 % is all of it, not nearly.
    return f"{int(1000 * part / whole) / 10:.1f} %" if whole else "-"


def main():
    arguments = sys.argv[1:]
    strict = arguments[:1] == ["--all"]
    if strict:
        arguments = arguments[1:]
    if len(arguments) < 2:
        sys.exit(__doc__.strip())
    source = os.path.realpath(arguments[0])
    files = read(source)
    missing = False
    for folder in arguments[1:]:
        total = [0, 0, 0, 0]
        for path in sorted(files):
            if not path.startswith(folder.rstrip("/") + "/"):
                continue
            total = [one + other for one, other in zip(total, files[path].figures())]
            if strict:
                for gap in files[path].gaps():
                    print(f"{path}:{gap}")
                    missing = True
        if not total[1]:
            sys.exit(f"coverage: nothing of {folder} was built with --coverage")
        print(f"{folder + ':':20} lines {percent(total[0], total[1])} ({total[0]} of {total[1]}), "
              f"branches {percent(total[2], total[3])} ({total[2]} of {total[3]})")
    sys.exit(1 if missing else 0)


main()
