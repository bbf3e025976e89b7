"""Makes every call of the API with a generated client, and prints each answer as a line of JSON.

The account `acme` has the plan starter, and its invoices are paid by Payments. An answer must have the type that the
document states, and the type must hold the whole answer.
"""

import json
import os
import sys
from datetime import datetime

import attrs
from portal_client import AuthenticatedClient, Client
from portal_client.api.credits_ import (
    buy_credits_pack,
    get_credits_balance,
    get_credits_monthly_stats,
    get_credits_packs,
    get_credits_rates,
    get_credits_transactions,
)
from portal_client.api.stats import get_credit_breakdown, get_credit_stats
from portal_client.api.subscriptions import (
    buy_subscription,
    cancel_pending_payment,
    cancel_subscription,
    create_billing_portal,
    get_checkout_session_status,
    get_my_subscription,
    get_payments,
    get_pending_payment,
    get_subscriptions,
)
from portal_client.models import (
    BuyPackBody,
    BuySubscriptionBody,
    GetCreditBreakdownWindow,
    GetCreditsTransactionsDirection,
    GetCreditStatsWindow,
)

url, namespace, subscription = sys.argv[1:]
anonymous = Client(base_url=url, raise_on_unexpected_status=True)
customer = AuthenticatedClient(base_url=url, token=os.environ["TOKEN"], raise_on_unexpected_status=True)
forged = AuthenticatedClient(base_url=url, token="f0rged", raise_on_unexpected_status=True)


def undocumented(value, place):
    """Returns the places of fields that the types of the client do not have."""
    found = [f"{place}.{name}" for name in getattr(value, "additional_properties", {})]
    if isinstance(value, list):
        parts = [(f"{place}[{index}]", part) for index, part in enumerate(value)]
    elif attrs.has(type(value)):
        fields = [field.name for field in attrs.fields(type(value)) if field.name != "additional_properties"]
        parts = [(f"{place}.{name}", getattr(value, name)) for name in fields]
    else:
        parts = []
    return found + [nested for name, part in parts for nested in undocumented(part, name)]


def comparable(value):
    """Returns the value with times in place of their texts, because the client writes them in another form."""
    if isinstance(value, dict):
        return {name: comparable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [comparable(part) for part in value]
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


def call(operation, answer, *path, client=customer, **parameters):
    response = operation.sync_detailed(namespace, subscription, *path, client=client, **parameters)
    name = operation.__name__.rsplit(".", 1)[1]
    assert type(response.parsed).__name__ == answer, (name, response.status_code, response.content)
    body = json.loads(response.content)
    held = response.parsed.to_dict()
    assert comparable(held) == comparable(body), (name, held, body)
    assert not undocumented(response.parsed, name), undocumented(response.parsed, name)
    print(json.dumps({"call": name, "status": int(response.status_code), "body": body}))
    return response.parsed


for operation, answer in [
    (get_subscriptions, "SubscriptionsAnswer"),
    (get_credits_packs, "PacksAnswer"),
    (get_credits_rates, "RatesAnswer"),
]:
    call(operation, answer, client=anonymous)
call(get_my_subscription, "MySubscriptionAnswer")
call(get_credits_balance, "BalanceAnswer")
call(get_credits_transactions, "TransactionsAnswer", limit=2)
call(get_credits_transactions, "TransactionsAnswer", direction=GetCreditsTransactionsDirection.OUT)
call(get_credits_monthly_stats, "MonthlyAnswer", months=2)
call(get_payments, "PaymentsAnswer")
call(get_credit_stats, "StatsAnswer", window=GetCreditStatsWindow("24h"))
call(get_credit_breakdown, "BreakdownAnswer", "models", window=GetCreditBreakdownWindow("7d"), include_series=True)

bought = call(buy_credits_pack, "BuyPackAnswer", body=BuyPackBody(pack_id="plus-100"), idempotency_key="one")
call(get_checkout_session_status, "SessionAnswer", bought.session_id)
upgrade = BuySubscriptionBody(subscription_period_id="growth-monthly")
changed = call(buy_subscription, "BuySubscriptionAnswer", body=upgrade)
call(get_checkout_session_status, "SessionAnswer", changed.session_id)
call(get_pending_payment, "PendingPaymentAnswer")
call(cancel_pending_payment, "CancelledPaymentAnswer")
call(get_pending_payment, "Failure")
call(create_billing_portal, "BillingPortalAnswer")
call(cancel_subscription, "CancelAnswer")

call(get_credits_balance, "Failure", client=forged)
call(get_checkout_session_status, "Failure", "acme-00000000-0001")
call(get_credits_transactions, "Failure", start_date="yesterday")
