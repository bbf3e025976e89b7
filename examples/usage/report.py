#!/usr/bin/env python3
"""Reports the usage of one window. Python 3.9 or later and kubectl; no other package.

  report.py NAMESPACE ACCOUNT SOURCE START END QUANTITY
  report.py team-a acme gw-eu-1 2026-01-31T10:00:00Z 2026-01-31T11:00:00Z 250000

The name of the report follows from source, account and start of the window, so you can run it again after any error:
the API server accepts a name once.
"""

import json
import re
import subprocess
import sys
import time

FINAL = ("(BadRequest)", "(Forbidden)", "(NotFound)", " is invalid: ")


def kubectl(namespace, *arguments, manifest=""):
    command = ["kubectl", "--namespace", namespace, *arguments]
    return subprocess.run(command, input=manifest, capture_output=True, text=True, check=False)


def report(namespace, account, source, start, end, quantity):
    """Creates the report and returns its name. Raises RuntimeError if no such report exists afterwards."""
    name = f"{source}.{account}.{re.sub('[^0-9]', '', start)}"
    spec = {
        "subscriptionRef": {"name": account},
        "source": source,
        "window": {"startTime": start, "endTime": end},
        "usage": [{"nodeType": "Public", "operation": "TokensOut", "quantity": quantity}],
    }
    head = {"apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport", "metadata": {"name": name}}
    for pause in (1, 2, 4, 8, 0):
        created = kubectl(namespace, "create", "-f", "-", manifest=json.dumps({**head, "spec": spec}))
        if created.returncode == 0:
            return name
        if "(AlreadyExists)" in created.stderr:
            # An earlier try was accepted, even if its answer was lost.
            found = kubectl(namespace, "get", "usagereports", name, "--output", "json")
            if found.returncode == 0:
                existing = json.loads(found.stdout)["spec"]
                if all(existing.get(field) == value for field, value in spec.items()):
                    return name
                raise RuntimeError(f"{name} exists with other content: {existing} instead of {spec}")
        if any(text in created.stderr for text in FINAL):
            break
        time.sleep(pause)
    raise RuntimeError(f"{name} was not created: {created.stderr.strip()}")


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(f"usage: {sys.argv[0]} NAMESPACE ACCOUNT SOURCE START END QUANTITY")
    try:
        print(report(*sys.argv[1:]))
    except RuntimeError as error:
        sys.exit(str(error))
