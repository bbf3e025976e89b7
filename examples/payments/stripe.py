#!/usr/bin/env python3
"""An adapter between Stripe and the payment webhook. Python 3.9 or later, standard library only.

  stripe.py map < EVENT          prints the callback for a Stripe event, and sends nothing
  stripe.py serve ADDRESS:PORT   receives Stripe's webhook, checks its signature, and sends a signed callback

`serve` reads three environment variables:

  STRIPE_SECRET_FILE      file with the signing secret of the Stripe endpoint (whsec_...)
  FLASHGATE_SECRET_FILE   file with a secret of the payment webhook
  FLASHGATE_URL           the payment webhook, such as http://flashgate-billing:8081/v1/payments

Your shop sets the metadata that identifies the invoice when it creates the Checkout Session. Set it twice:
as `metadata`, for the session, and as `payment_intent_data.metadata`, which Stripe copies to the charge:

  {"namespace": "tenant-a", "subscription": "acme", "invoice": "acme-1f3a9c2e-0001"}

| Stripe event                                      | state     | amount            |
|---------------------------------------------------|-----------|-------------------|
| checkout.session.completed, payment_status paid   | Settled   | amount_total      |
| checkout.session.async_payment_succeeded          | Settled   | amount_total      |
| payment_intent.payment_failed                     | Failed    | amount            |
| payment_intent.canceled                           | Cancelled | amount            |
| checkout.session.expired                          | Cancelled | amount_total      |
| charge.refunded, refunded in full                 | Refunded  | amount_refunded   |

A failed attempt (Failed) leaves the invoice open, so that the next attempt can settle it. An expired session or a
cancelled payment (Cancelled) voids the invoice, unless it is the invoice of a renewal. So create one Checkout Session
for an invoice at a time, and let it expire when the invoice is due.

The script ignores all other events with 200, so that Stripe does not send them again: other kinds, other products
(without that metadata), unpaid sessions, and partial refunds (an invoice is refunded in full). The script returns the
webhook's answer to Stripe. Stripe retries events without a 2xx answer for days, as intended.
"""

import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Stripe states amounts in hundredths, except for these currencies in whole units or in thousandths.
WHOLE = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
THOUSANDTHS = {"bhd", "jod", "kwd", "omr", "tnd"}
# The state that an event reports, and the field of its object with the amount.
STATES = {
    "checkout.session.completed": ("Settled", "amount_total"),
    "checkout.session.async_payment_succeeded": ("Settled", "amount_total"),
    "checkout.session.expired": ("Cancelled", "amount_total"),
    "payment_intent.payment_failed": ("Failed", "amount"),
    "payment_intent.canceled": ("Cancelled", "amount"),
    "charge.refunded": ("Refunded", "amount_refunded"),
}
LARGEST_EVENT = 256 * 1024
TOLERANCE_SECONDS = 300


class PassedOver(Exception):
    """Raised for an event that does not report the state of an invoice."""


def callback(event):
    """Returns the namespace and the callback for a Stripe event."""
    kind, thing = event["type"], event["data"]["object"]
    if kind not in STATES:
        raise PassedOver(f"events of type {kind} say nothing about invoices")
    state, amount = STATES[kind]
    if state == "Settled" and thing["payment_status"] != "paid":
        raise PassedOver(f"the session is {thing['payment_status']}")
    if state == "Refunded" and not thing["refunded"]:
        raise PassedOver("only a part was refunded")
    about = thing.get("metadata") or {}
    missing = [key for key in ("namespace", "subscription", "invoice") if not about.get(key)]
    if missing:
        raise PassedOver(f"its metadata does not give {', '.join(missing)}")
    body = {
        "id": event["id"],
        "namespace": about["namespace"],
        "subscription": about["subscription"],
        "invoice": about["invoice"],
        "state": state,
        "amount": units(thing[amount], thing["currency"]),
        "currency": thing["currency"].upper(),
        "reference": thing.get("payment_intent") or thing["id"],
    }
    return about["namespace"], body


def units(amount, currency):
    """Turns an amount in the smallest unit into text in units of the currency, exactly."""
    digits = 0 if currency in WHOLE else 3 if currency in THOUSANDTHS else 2
    return format(Decimal(amount).scaleb(-digits), "f")


def tag(secret, signed_time, body):
    """Signs a time and a body. Stripe and the payment webhook use the same format."""
    return hmac.new(secret, signed_time.encode() + b"." + body, hashlib.sha256).hexdigest()


def is_believed(secret, header, body):
    """Returns whether Stripe signed this body within the last five minutes."""
    parts = [part.strip().partition("=")[::2] for part in header.split(",")]
    signed_time = next((value for name, value in parts if name == "t"), "")
    if not signed_time.isdecimal() or abs(time.time() - int(signed_time)) > TOLERANCE_SECONDS:
        return False
    fitting = tag(secret, signed_time, body).encode()
    return any(name == "v1" and hmac.compare_digest(fitting, value.encode()) for name, value in parts)


def first_line(variable):
    """Reads a secret from the file that an environment variable names."""
    with open(os.environ[variable], encoding="ascii") as file:
        return file.readline().strip().encode()


def pass_on(namespace, body):
    """Signs a callback and sends it to the payment webhook; returns status and answer."""
    body, now = json.dumps(body).encode(), str(int(time.time()))
    signature = f"t={now},v1={tag(first_line('FLASHGATE_SECRET_FILE'), now, body)}"
    headers = {"Content-Type": "application/json", "Flashgate-Signature": signature}
    url = f"{os.environ['FLASHGATE_URL']}/{urllib.parse.quote(namespace, safe='')}"
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()
    except OSError as error:
        return 502, f"the payment webhook cannot be reached: {error}\n".encode()


class Receiver(BaseHTTPRequestHandler):
    """Receives what Stripe sends."""

    timeout = 15

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_EVENT:
            return self.answer(413, b"the event is too large\n")
        body = self.rfile.read(int(length))
        if not is_believed(first_line("STRIPE_SECRET_FILE"), self.headers.get("Stripe-Signature", ""), body):
            return self.answer(401, b"no signature of Stripe fits\n")
        try:
            return self.answer(*pass_on(*callback(json.loads(body))))
        except PassedOver as reason:
            return self.answer(200, f"passed over: {reason}\n".encode())
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(400, f"the event cannot be understood: {error!r}\n".encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(arguments):
    if arguments == ["map"]:
        try:
            print(json.dumps(callback(json.load(sys.stdin))[1], indent=2))
        except PassedOver as reason:
            print(f"passed over: {reason}", file=sys.stderr)
        return 0
    if len(arguments) == 2 and arguments[0] == "serve":
        address, _, port = arguments[1].rpartition(":")
        ThreadingHTTPServer((address, int(port)), Receiver).serve_forever()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
