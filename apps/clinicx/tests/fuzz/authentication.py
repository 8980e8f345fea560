"""Logs in for schemathesis: as FUZZ_EMAIL with FUZZ_PASSWORD, in FUZZ_TENANT when that is set.

A fuzzer also logs out, and tokens end by themselves; so a token is used for a few seconds only. The log-in goes to the
service under test, on the loopback address.
"""

import ast
import json
import os
import threading
import urllib.request

import schemathesis

TOKEN_SECONDS = 5

# Python before 3.12 counts the depth of syntax trees for all threads together, and fails when two of them parse at
# once (python/cpython#106905); Hypothesis parses the text of lambdas for its reports.
_parse, _parsing = ast.parse, threading.Lock()


def _parse_alone(*arguments, **named):
    with _parsing:
        return _parse(*arguments, **named)


ast.parse = _parse_alone


@schemathesis.auth(refresh_interval=TOKEN_SECONDS)
class Token:
    def get(self, case, context):
        account = {"email": os.environ["FUZZ_EMAIL"], "password": os.environ["FUZZ_PASSWORD"]}
        if os.environ.get("FUZZ_TENANT"):
            account["tenant"] = os.environ["FUZZ_TENANT"]
        request = urllib.request.Request(
            os.environ["FUZZ_BASE"] + "/api/v1/auth/login",
            data=json.dumps(account).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["access_token"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
