#!/usr/bin/env python3
"""A provider for xAI's management API: llmhook-provider(7) in Python, with its standard library alone.

    [provider xai]
    type = exec
    program = /usr/local/lib/llmhook/provider-xai.py TEAM-ID
    admin-key = file:/etc/llmhook/xai-management-key
    can = suspend
    environment = XAI_API_KEY

What it relies on is from xAI's reference (docs.x.ai, "Management API", read in November 2026): POST and GET
/auth/teams/{team}/api-keys, PUT and DELETE /auth/api-keys/{id}, the fields name, acls, apiKey, apiKeyId, disabled.
Not said there, and assumed: that the list is called apiKeys, its next page paginationToken, and that PUT takes the
fields of apiKey that fieldMask names. None of it has been tried against xAI itself. xAI has no dollar limit per key.
"""
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

OK, GONE, REFUSED, UNAUTHORIZED, UNREACHABLE, THROTTLED, UNSUPPORTED, UNKNOWN = 0, 10, 11, 12, 13, 14, 15, 1
CHANGING = ("mint", "revoke", "suspend", "resume")
# Only what names a key can find that key gone: 404 to anything else means a wrong team or address.
OF_ONE_KEY = ("revoke", "suspend", "resume")


class End(Exception):
    def __init__(self, code, **answer):
        super().__init__()
        self.code, self.answer = code, answer


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes to no other host."""

    def redirect_request(self, *_arguments):
        return None


class Api:
    def __init__(self, question):
        self.base = question.get("base_url", "https://management-api.x.ai").rstrip("/")
        self.key = question.get("admin_key", "")
        self.changing = question["verb"] in CHANGING
        self.of_one_key = question["verb"] in OF_ONE_KEY
        self.opener = urllib.request.build_opener(NoRedirect)

    def ask(self, method, path, body=None):
        headers = {"Authorization": "Bearer " + self.key, "Content-Type": "application/json", "User-Agent": "llmhook"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with self.opener.open(request, timeout=20) as answer:
                return json.loads(answer.read(4 << 20) or b"{}")
        except urllib.error.HTTPError as error:
            self.explain(error)
        except ConnectionRefusedError:
            raise End(UNREACHABLE, error="connection refused") from None
        except urllib.error.URLError as error:
            # Before anything was sent: no route, no such host, a certificate that is not right.
            raise End(UNREACHABLE, error=str(error.reason)) from None
        except (OSError, ValueError):
            raise End(UNKNOWN, error="the answer was cut off or is no JSON") from None

    def explain(self, error):
        words = f"xAI answered {error.code}"
        if error.code == 401:
            raise End(UNAUTHORIZED, error=words)
        if error.code == 404 and self.of_one_key:
            raise End(GONE, error=words)
        if error.code == 429:
            after = error.headers.get("Retry-After", "")
            raise End(THROTTLED, error=words, **({"retry_after": int(after)} if after.isdigit() else {}))
        if error.code >= 500 or error.code in (408, 409):
            # It may have happened.
            raise End(UNKNOWN if self.changing else UNREACHABLE, error=words)
        raise End(REFUSED, error=words)


def list_keys(api, team):
    keys, token = [], ""
    while True:
        query = "?pageSize=100" + ("&paginationToken=" + urllib.parse.quote(token, safe="") if token else "")
        page = api.ask("GET", f"/auth/teams/{team}/api-keys{query}")
        keys += [{"id": key["apiKeyId"], "name": key.get("name", ""), "suspended": key.get("disabled", False)}
                 for key in page.get("apiKeys", [])]
        token = page.get("paginationToken", "")
        if not token:
            return keys


def answer_to(question, team):
    verb, api = question["verb"], Api(question)
    if verb == "capabilities":
        return {"capabilities": ["suspend"]}
    if verb == "limit" or (verb == "mint" and question.get("monthly_limit")):
        # Rather no key than one without the limit that was asked for.
        raise End(UNSUPPORTED, error="xAI has no dollar limit per key: take limit and change-limit out of can")
    if verb == "mint":
        made = api.ask("POST", f"/auth/teams/{team}/api-keys",
                       {"name": question["name"], "acls": ["api-key:model:*", "api-key:endpoint:*"]})
        return {"id": made["apiKeyId"], "secret": made["apiKey"]}
    if verb == "find":
        return {"keys": [key for key in list_keys(api, team) if key["name"] == question["name"]]}
    if verb in ("list", "check"):
        keys = list_keys(api, team)
        return {} if verb == "check" else {"keys": [key for key in keys if key["name"].startswith(question["prefix"])]}
    if verb in ("revoke", "suspend", "resume"):
        path = "/auth/api-keys/" + urllib.parse.quote(question["id"], safe="")
        if verb == "revoke":
            api.ask("DELETE", path)
        else:
            api.ask("PUT", path, {"apiKey": {"disabled": verb == "suspend"}, "fieldMask": "disabled"})
        return {}
    raise End(UNSUPPORTED)


def main():
    if len(sys.argv) != 2:
        print("usage: provider-xai.py TEAM-ID", file=sys.stderr)
        return REFUSED
    try:
        answer = answer_to(json.load(sys.stdin), urllib.parse.quote(sys.argv[1], safe=""))
    except End as end:
        print(json.dumps(end.answer))
        return end.code
    except (KeyError, TypeError):
        # An answer without a field that it must have: what was asked for may have happened.
        print("xAI's answer lacks a field", file=sys.stderr)
        return UNKNOWN
    print(json.dumps(answer))
    return OK


if __name__ == "__main__":
    sys.exit(main())
