"""What the daemon is killed in while somebody is told of something: each cause once, to everybody, never not at all."""
import http.server
import json
import os
import sqlite3
import threading

import world as lab
from capabilities import Pooled

PROGRAMS = {"program": "#!/bin/sh\ncat >>{folder}/program-heard\n",
            "mail": "#!/bin/sh\ncat >>{folder}/mail-heard\n"}


class Listeners:
    """A webhook, a program and a mail program that write down the ids of the alerts they were told of."""
    def __init__(self, folder):
        self.folder, heard = folder, []
        for name, text in PROGRAMS.items():
            lab.write(f"{folder}/take-{name}", text.format(folder=folder), 0o700)

        class Webhook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alert"]["id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.webhook, self.server = heard, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def section(self):
        return f"""[alerts]
webhook = http://127.0.0.1:{self.server.server_port}/
program = {self.folder}/take-program
mail = ops@example.com
sendmail = {self.folder}/take-mail
"""

    def lines(self, name):
        path = f"{self.folder}/{name}-heard"
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return file.read().splitlines()

    def heard(self):
        return {"webhook": list(self.webhook),
                "program": [json.loads(line)["alert"]["id"] for line in self.lines("program")],
                "mail": [int(line.split(": ")[1]) for line in self.lines("mail") if line.startswith("X-Llmhook-Alert: ")]}

    def end(self):
        self.server.shutdown()
        self.server.server_close()


class Alert(Pooled):
    """The pool runs low, and everybody is to hear of it."""
    LOW = "pool-low = 5"
    POOL = 1

    def prepare(self):
        self.lives = 1
        self.listeners = Listeners(self.world.sandbox.folder)
        self.world.configure(alerts=self.listeners.section())
        self.fill()
        self.off()

    def raised(self):
        """To begin with: it was, and all have heard of it."""
        self.world.configure(provider=self.LOW)
        self.world.reload()
        lab.wait_until(10, lambda: self.told() is None, "nobody is told to begin with")

    def alerts(self):
        answer = self.world.call("Alerts")
        return answer["alerts"] if isinstance(answer, dict) else None

    def told(self):
        alerts = self.alerts()
        return None if alerts and [alert["waiting"] for alert in alerts] == [[]] else f"the alerts are {alerts}"

    def act(self):
        self.world.configure(provider=self.LOW)
        self.world.reload()

    def wrong(self):
        return self.told() or self.keys(0) or self.state_is("off")

    def crashed(self, ledger):
        self.lives += 1  # here and not in again(): one that dies before it answers may have told somebody, too
        known = {row["id"] for row in ledger["alerts"]}
        return [f"alert: the {who} has heard of {alert}, and the ledger has not"
                for who, heard in self.listeners.heard().items() for alert in heard if alert not in known]

    def done(self):
        self.listeners.end()
        rows = [(row["kind"], row["pending"]) for row in self.world.ledger()["alerts"]]
        wrong = [] if rows == [("pool-low", 0)] else [f"alert: the rows are {rows}"]
        heard = dict(self.listeners.heard(), journal=self.in_journal())
        return wrong + [f"alert: the {who} was told {len(ids)} times, in {self.lives} lives of the daemon"
                        for who, ids in heard.items() if not 1 <= len(ids) <= self.lives or len(set(ids)) != 1]

    def in_journal(self):
        return ["pool-low" for line in self.world.log().splitlines() if "alert: pool-low: " in line]


class AlertEnds(Alert):
    """There are keys enough again: it is over, and nobody is told anew."""
    def prepare(self):
        super().prepare()
        self.raised()
        self.before = self.listeners.heard()

    def act(self):
        self.world.configure(provider="")
        self.world.reload()

    def wrong(self):
        alerts = self.alerts()
        return self.keys(0) or (None if alerts == [] else f"the alerts are {alerts}")

    def done(self):
        ended = [row["ended_at"] > 0 for row in self.world.ledger()["alerts"]]
        return super().done() + ([] if ended == [True] else [f"alert: ended: {ended}"]) + \
            ([] if self.listeners.heard() == self.before else ["alert: told once more when it was over"])


class AlertForgotten(AlertEnds):
    """It was over a hundred days ago: a daemon that starts forgets it."""
    DAYS = 101

    def prepare(self):
        super().prepare()
        super().act()
        lab.wait_until(10, lambda: super(AlertForgotten, self).wrong() is None, "it is not over to begin with")
        self.world.stop_daemon()
        with sqlite3.connect(lab.STATE + "/ledger.sqlite") as database:
            database.execute("UPDATE alerts SET raised_at = raised_at - :ms, ended_at = ended_at - :ms",
                             {"ms": self.DAYS * 24 * 3600 * 1000})
        database.close()

    def act(self):
        self.world.start_daemon()

    def crashed(self, ledger):
        return []  # what was heard may be forgotten

    def done(self):
        self.listeners.end()
        left = len(self.world.ledger()["alerts"])
        return [f"alert: {left} are remembered"] if left else []


class AlertGivenUp(Alert):
    """Somebody who does not answer is not to hear of it any more."""
    def prepare(self):
        super().prepare()
        self.listeners.end()
        self.world.configure(provider=self.LOW)
        self.world.reload()
        lab.wait_until(10, lambda: [alert["waiting"] for alert in self.alerts() or []] == [["webhook"]],
                       "the webhook is not waited for to begin with")

    def act(self):
        self.world.configure(alerts="")
        self.world.reload()

    def done(self):
        rows = [(row["kind"], row["pending"]) for row in self.world.ledger()["alerts"]]
        heard = {who: len(ids) for who, ids in self.listeners.heard().items()}
        return ([] if rows == [("pool-low", 0)] else [f"alert: the rows are {rows}"]) + \
            ([] if heard == {"webhook": 0, "program": 1, "mail": 1} else [f"alert: told to {heard}"])


ALL = [Alert, AlertEnds, AlertForgotten, AlertGivenUp]
