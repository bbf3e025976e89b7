//! The exact text of each record of a ledger and of each kind of entry. It must not change, because the hash of
//! a ledger covers it.

use flashgate_ledger::catalog::{BillingPeriod, PackPurchases};
use flashgate_ledger::entry::{BillingDetails, InvoiceLine, LapseCause, PaidBy, PlanPeriod};
use flashgate_ledger::grant::{Expiration, Grant, GrantSource};
use flashgate_ledger::invoice::{
    Attempts, ChangeReason, Invoice, InvoiceReason, InvoiceState, Purpose, VoidCause,
};
use flashgate_ledger::ledger::{AdjustmentRecord, Charge, RatedUsage, RefusalRecord, Terms};
use flashgate_ledger::peak::DailyPeak;
use flashgate_ledger::purchase::{Purchase, PurchaseState};
use flashgate_ledger::refusal::{Refusal, RefusalReason};
use flashgate_ledger::statement::{Book, Statement};
use flashgate_ledger::{Credits, Quantity};

use super::*;

fn credits(text: &str) -> Credits {
    text.parse().expect("credits")
}

fn start() -> Timestamp {
    time("2026-01-31T10:00:00Z")
}

fn end() -> Timestamp {
    time("2026-02-28T10:00:00Z")
}

fn grants() -> Vec<(Grant, &'static str)> {
    let grant = |source, expiration| Grant {
        source,
        credits: credits("1100"),
        remaining: credits("980.5"),
        effective_time: start(),
        expiration,
    };
    let expiration = |passed| Some(Expiration { time: end(), grace_seconds: 7_200, passed });
    vec![
        (
            grant(GrantSource::Plan { period_number: 4 }, expiration(false)),
            r#"{"source":"plan/4","credits":"1100","remaining":"980.5","effectiveTime":"2026-01-31T10:00:00Z","expiration":{"time":"2026-02-28T10:00:00Z","graceSeconds":7200}}"#,
        ),
        (
            grant(GrantSource::Adjustment { name: "outage".into() }, expiration(true)),
            r#"{"source":"adjustment/outage","credits":"1100","remaining":"980.5","effectiveTime":"2026-01-31T10:00:00Z","expiration":{"time":"2026-02-28T10:00:00Z","graceSeconds":7200,"passed":true}}"#,
        ),
        (
            grant(GrantSource::Pack { name: "march-top-up".into() }, None),
            r#"{"source":"pack/march-top-up","credits":"1100","remaining":"980.5","effectiveTime":"2026-01-31T10:00:00Z"}"#,
        ),
    ]
}

fn purchases() -> Vec<(Purchase, &'static str)> {
    let purchase = |expires_after_days, invoice, state| Purchase {
        name: "top-up".to_owned(),
        pack: "plus-500".to_owned(),
        arrival: start(),
        credits: credits("500"),
        price: credits("19.99"),
        currency: "USD".to_owned(),
        expires_after_days,
        invoice,
        state,
    };
    vec![
        (
            purchase(Some(30), Some(7), PurchaseState::AwaitingPayment),
            r#"{"name":"top-up","pack":"plus-500","arrival":"2026-01-31T10:00:00Z","credits":"500","price":"19.99","currency":"USD","expiresAfterDays":30,"invoice":7,"state":"awaitingPayment"}"#,
        ),
        (
            purchase(None, None, PurchaseState::Granted { time: end() }),
            r#"{"name":"top-up","pack":"plus-500","arrival":"2026-01-31T10:00:00Z","credits":"500","price":"19.99","currency":"USD","state":{"granted":{"time":"2026-02-28T10:00:00Z"}}}"#,
        ),
        (
            purchase(None, Some(7), PurchaseState::Refused { reason: RefusalReason::PaymentExpired }),
            r#"{"name":"top-up","pack":"plus-500","arrival":"2026-01-31T10:00:00Z","credits":"500","price":"19.99","currency":"USD","invoice":7,"state":{"refused":{"reason":"PaymentExpired"}}}"#,
        ),
        (
            purchase(None, Some(7), PurchaseState::Refunded { grant_time: end() }),
            r#"{"name":"top-up","pack":"plus-500","arrival":"2026-01-31T10:00:00Z","credits":"500","price":"19.99","currency":"USD","invoice":7,"state":{"refunded":{"grantTime":"2026-02-28T10:00:00Z"}}}"#,
        ),
    ]
}

fn adjustments() -> Vec<(AdjustmentRecord, &'static str)> {
    vec![(
        AdjustmentRecord { credits: credits("0.000000001"), time: start() },
        r#"{"name":"outage","given":{"credits":"0.000000001","time":"2026-01-31T10:00:00Z"}}"#,
    )]
}

fn refusals() -> Vec<(RefusalRecord, &'static str)> {
    let record = |kind, reason, stated: Option<&str>, next_available_time| RefusalRecord {
        kind,
        name: "n".to_owned(),
        stated: stated.map(str::to_owned),
        refusal: Refusal { reason, message: "a \"message\"".to_owned(), next_available_time },
    };
    vec![
        (
            record(FactKind::CreditPack, RefusalReason::PackLimitReached, Some("plus-500"), Some(end())),
            r#"{"kind":"CreditPack","name":"n","pack":"plus-500","refusal":{"reason":"PackLimitReached","message":"a \"message\"","nextAvailableTime":"2026-02-28T10:00:00Z"}}"#,
        ),
        (
            record(FactKind::Payment, RefusalReason::WrongAmount, None, None),
            r#"{"kind":"Payment","name":"n","refusal":{"reason":"WrongAmount","message":"a \"message\""}}"#,
        ),
        (
            record(FactKind::CreditAdjustment, RefusalReason::AlreadyExpired, None, None),
            r#"{"kind":"CreditAdjustment","name":"n","refusal":{"reason":"AlreadyExpired","message":"a \"message\""}}"#,
        ),
        (
            record(FactKind::UsageReport, RefusalReason::TooLate, None, None),
            r#"{"kind":"UsageReport","name":"n","refusal":{"reason":"TooLate","message":"a \"message\""}}"#,
        ),
    ]
}

fn invoices() -> Vec<(Invoice, &'static str)> {
    let invoice = |purpose, state| Invoice {
        number: 7,
        time: start(),
        purpose,
        amount: credits("19.99"),
        currency: "USD".to_owned(),
        state,
        due_time: None,
        grant: None,
        payments: Vec::new(),
        attempts: Attempts::default(),
    };
    let change = |reason, billing_period, lapses_to: Option<&str>, pack_purchases| Purpose::Change {
        reason,
        terms: Terms {
            plan: "growth".to_owned(),
            billing_period,
            credits: credits("9000"),
            price: credits("49"),
            rank: 2,
            lapses_to: lapses_to.map(str::to_owned),
            pack_purchases,
            overdraft: credits(if lapses_to.is_some() { "25.5" } else { "0" }),
        },
    };
    let start_yearly = change(ChangeReason::Start, BillingPeriod::Yearly, None, PackPurchases::Refused);
    let upgrade = change(ChangeReason::Upgrade, BillingPeriod::Monthly, Some("free"), PackPurchases::Allowed);
    let reactivation =
        change(ChangeReason::Reactivation, BillingPeriod::Monthly, None, PackPurchases::Allowed);
    let paid = Invoice {
        due_time: Some(end()),
        grant: Some(GrantSource::Pack { name: "top-up".into() }),
        payments: vec!["evt-1".to_owned()],
        attempts: Attempts { count: 1, names: vec!["evt-0".to_owned()], last_time: Some(end()) },
        ..invoice(Purpose::Pack { name: "top-up".to_owned() }, InvoiceState::Refunded)
    };
    let tried = Invoice {
        attempts: Attempts { count: 2, names: Vec::new(), last_time: None },
        ..invoice(Purpose::Renewal { period_number: 5 }, InvoiceState::RefundDue)
    };
    vec![
        (
            invoice(start_yearly, InvoiceState::Open),
            r#"{"number":7,"time":"2026-01-31T10:00:00Z","for":{"change":{"reason":"Start","terms":{"plan":"growth","billingPeriod":"Yearly","credits":"9000","price":"49","rank":2,"packPurchases":"Refused"}}},"amount":"19.99","currency":"USD","state":"Open"}"#,
        ),
        (
            invoice(upgrade, InvoiceState::Settled),
            r#"{"number":7,"time":"2026-01-31T10:00:00Z","for":{"change":{"reason":"Upgrade","terms":{"plan":"growth","billingPeriod":"Monthly","credits":"9000","price":"49","rank":2,"lapsesTo":"free","packPurchases":"Allowed","overdraft":"25.5"}}},"amount":"19.99","currency":"USD","state":"Settled"}"#,
        ),
        (
            invoice(reactivation, InvoiceState::Void),
            r#"{"number":7,"time":"2026-01-31T10:00:00Z","for":{"change":{"reason":"Reactivation","terms":{"plan":"growth","billingPeriod":"Monthly","credits":"9000","price":"49","rank":2,"packPurchases":"Allowed"}}},"amount":"19.99","currency":"USD","state":"Void"}"#,
        ),
        (
            tried,
            r#"{"number":7,"time":"2026-01-31T10:00:00Z","for":{"renewal":{"periodNumber":5}},"amount":"19.99","currency":"USD","state":"RefundDue","attempts":{"count":2,"names":[]}}"#,
        ),
        (
            paid,
            r#"{"number":7,"time":"2026-01-31T10:00:00Z","for":{"pack":{"name":"top-up"}},"amount":"19.99","currency":"USD","state":"Refunded","dueTime":"2026-02-28T10:00:00Z","grant":"pack/top-up","payments":["evt-1"],"attempts":{"count":1,"names":["evt-0"],"lastTime":"2026-02-28T10:00:00Z"}}"#,
        ),
    ]
}

fn usage() -> Vec<(RatedUsage, &'static str)> {
    vec![(
        RatedUsage {
            node_type: "Public".to_owned(),
            operation: "StorageEgress".to_owned(),
            quantity: Quantity::from_total("12000000000.000000000000000001").expect("quantity"),
            credits: credits("120"),
        },
        r#"{"nodeType":"Public","operation":"StorageEgress","quantity":"12000000000.000000000000000001","credits":"120"}"#,
    )]
}

fn full_sums() -> (Book, &'static str) {
    let [opening, granted, purchased, adjusted, refunded, consumed, expired] =
        ["-1", "2", "3", "4", "5", "6", "-7.5"].map(credits);
    (
        Book { opening, granted, purchased, adjusted, refunded, consumed, expired },
        r#"{"opening":"-1","granted":"2","purchased":"3","adjusted":"4","refunded":"5","consumed":"6","expired":"-7.5"}"#,
    )
}

fn statements() -> Vec<(Statement, &'static str)> {
    let statement = |final_time, is_final, book| Statement {
        period_number: 4,
        start_time: start(),
        end_time: end(),
        plan: "growth".to_owned(),
        billing_period: BillingPeriod::Yearly,
        final_time,
        is_final,
        book,
    };
    vec![
        (
            statement(Some(end()), true, full_sums().0),
            r#"{"periodNumber":4,"startTime":"2026-01-31T10:00:00Z","endTime":"2026-02-28T10:00:00Z","plan":"growth","billingPeriod":"Yearly","finalTime":"2026-02-28T10:00:00Z","final":true,"book":{"opening":"-1","granted":"2","purchased":"3","adjusted":"4","refunded":"5","consumed":"6","expired":"-7.5"}}"#,
        ),
        (
            statement(None, false, Book::default()),
            r#"{"periodNumber":4,"startTime":"2026-01-31T10:00:00Z","endTime":"2026-02-28T10:00:00Z","plan":"growth","billingPeriod":"Yearly","book":{}}"#,
        ),
    ]
}

fn charges() -> Vec<(Charge, &'static str)> {
    let charge = |lines, period_number| Charge {
        name: "gw-eu-1-0800".to_owned(),
        uid: "uid-1".to_owned(),
        credits: credits("120"),
        lines,
        period_number,
        charge_time: end(),
    };
    vec![
        (
            charge(usage().into_iter().map(|(line, _)| line).collect(), Some(4)),
            r#"{"name":"gw-eu-1-0800","uid":"uid-1","credits":"120","lines":[{"nodeType":"Public","operation":"StorageEgress","quantity":"12000000000.000000000000000001","credits":"120"}],"periodNumber":4,"chargeTime":"2026-02-28T10:00:00Z"}"#,
        ),
        (
            charge(Vec::new(), None),
            r#"{"name":"gw-eu-1-0800","uid":"uid-1","credits":"120","lines":[],"chargeTime":"2026-02-28T10:00:00Z"}"#,
        ),
    ]
}

/// Returns the records, and their texts.
fn split<T>(pairs: Vec<(T, &'static str)>) -> (Vec<T>, Vec<&'static str>) {
    pairs.into_iter().unzip()
}

/// Returns a ledger with each kind of record.
fn ledger_of_records() -> Ledger {
    let mut ledger = rich_account().ledger().clone();
    ledger.grants = split(grants()).0;
    *ledger.purchases.records = split(purchases()).0;
    *ledger.adjustments = adjustments().into_iter().map(|(given, _)| ("outage".to_owned(), given)).collect();
    *ledger.refusals = split(refusals()).0;
    *ledger.invoices = split(invoices()).0;
    ledger.usage = split(usage()).0;
    ledger.daily_consumption = vec![("2026-02-10".parse().expect("day"), credits("120.25"))];
    ledger.daily_peaks = vec![DailyPeak {
        day: "2026-02-10".parse().expect("day"),
        credits: credits("120.25"),
        seconds: 3_600,
        longest_window_seconds: 86_400,
        longest_delay_seconds: 20,
    }];
    ledger.statements.kept = split(statements()).0;
    ledger.statements.next = full_sums().0;
    ledger.unacknowledged = split(charges()).0;
    ledger
}

fn spec_of_records() -> CreditLedgerSpec {
    ledger_to_wire(&ledger_of_records(), None, &[], Commit::of("default/acme", "operator-0"))
}

#[test]
fn each_record_has_exactly_this_text() {
    let spec = spec_of_records();
    assert_eq!(spec.grants, split(grants()).1);
    assert_eq!(spec.purchases, split(purchases()).1);
    assert_eq!(spec.adjustments, split(adjustments()).1);
    assert_eq!(spec.refusals, split(refusals()).1);
    assert_eq!(spec.invoices, split(invoices()).1);
    assert_eq!(spec.usage, split(usage()).1);
    assert_eq!(spec.daily_consumption, [r#"["2026-02-10","120.25"]"#]);
    let peak = r#"{"day":"2026-02-10","credits":"120.25","seconds":3600,"longestWindowSeconds":86400,"longestDelaySeconds":20}"#;
    assert_eq!(spec.daily_peaks, [peak]);
    assert_eq!(spec.statements, split(statements()).1);
    assert_eq!(spec.carried.as_deref(), Some(full_sums().1));
    assert_eq!(spec.unacknowledged, split(charges()).1);
    assert_eq!(ledger_from_wire("acme", &spec).as_ref(), Ok(&ledger_of_records()));
}

/// Fields of a ledger with records.
const FIELDS: [&str; 10] = [
    "grants",
    "purchases",
    "adjustments",
    "refusals",
    "invoices",
    "usage",
    "dailyConsumption",
    "statements",
    "carried",
    "unacknowledged",
];

/// Returns the place of each record of `content`, with its text.
fn texts(content: &Value) -> Vec<(String, String)> {
    let records = FIELDS.iter().flat_map(|field| match &content[field] {
        Value::Array(records) => {
            let place = |(index, text): (usize, &Value)| (format!("/{field}/{index}"), text.clone());
            records.iter().enumerate().map(place).collect()
        }
        text => vec![(format!("/{field}"), text.clone())],
    });
    let records = records.map(|(place, text)| (place, text.as_str().expect("a text").to_owned()));
    records.collect()
}

/// Reads `content` with another text of the record at `place`.
fn read_with(content: &Value, place: &str, text: &str) -> Result<Ledger, ConvertError> {
    let mut content = content.clone();
    *content.pointer_mut(place).expect("a record") = text.into();
    ledger_from_wire("acme", &hashed(content))
}

#[test]
fn no_part_of_a_record_may_have_a_field_that_is_not_known() {
    let content = serde_json::to_value(spec_of_records()).expect("JSON");
    for (place, text) in texts(&content) {
        for (at, _) in text.match_indices('{') {
            let (before, after) = text.split_at(at + 1);
            let separator = if after.starts_with('}') { "" } else { "," };
            let longer = format!(r#"{before}"newer":0{separator}{after}"#);
            let read = read_with(&content, &place, &longer);
            assert!(matches!(read, Err(ConvertError::NewerField { .. })), "{longer}: {read:?}");
        }
        let longer = read_with(&content, &place, &format!("{text} 1"));
        assert!(matches!(longer, Err(ConvertError::Field { .. })), "{longer:?}");
    }
}

/// Returns the places of all texts in `value`.
fn places_of_texts(value: &Value, place: &str) -> Vec<String> {
    match value {
        Value::String(_) => vec![place.to_owned()],
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, item)| places_of_texts(item, &format!("{place}/{index}"))).collect()
        }
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| places_of_texts(field, &format!("{place}/{name}")))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[test]
fn no_text_of_a_record_may_be_a_number() {
    let content = serde_json::to_value(spec_of_records()).expect("JSON");
    for (place, text) in texts(&content) {
        let record: Value = serde_json::from_str(&text).expect("JSON");
        for inside in places_of_texts(&record, "") {
            let mut record = record.clone();
            *record.pointer_mut(&inside).expect("a text") = json!(1);
            let read = read_with(&content, &place, &record.to_string());
            assert!(matches!(read, Err(ConvertError::Field { .. })), "{record}: {read:?}");
        }
    }
}

#[test]
fn an_invalid_text_is_refused_with_the_reason() {
    let content = serde_json::to_value(spec_of_records()).expect("JSON");
    let cases = [
        ("/grants/0", r#""1100""#, r#""1e3""#, "'1e3' is not an amount: it must be a decimal such as"),
        ("/grants/0", "plan/4", "plan/x", "'plan/x' is no id of a grant"),
        ("/grants/0", "plan/4", "gift/4", "'gift/4' is no id of a grant"),
        ("/grants/0", "plan/4", "plan", "'plan' is no id of a grant"),
        ("/usage/0", "12000000000.000000000000000001", "12G", "'12G' is not a total: it must be"),
        ("/refusals/0", "PackLimitReached", "Newer", "'Newer' is no reason of a refusal"),
        ("/purchases/2", "PaymentExpired", "Newer", "'Newer' is no reason of a refusal"),
        ("/invoices/4", "pack/top-up", "top-up", "'top-up' is no id of a grant"),
        ("/carried", r#""-7.5""#, r#""""#, "'' is not an amount: it must be a decimal such as"),
        ("/statements/1", r#","book":{}"#, "", "missing field `book`"),
        ("/purchases/0", r#","state":"awaitingPayment""#, "", "missing field `state`"),
    ];
    for (place, from, to, reason) in cases {
        let text = content.pointer(place).and_then(Value::as_str).expect("a record");
        let problem = match read_with(&content, place, &text.replacen(from, to, 1)) {
            Err(ConvertError::Field { problem: Problem::Record(problem), .. }) => problem,
            other => format!("{other:?}"),
        };
        assert!(problem.starts_with(reason), "{place}: {problem}");
    }
    for (place, from) in
        [("/invoices/0", r#""Open""#), ("/invoices/0", "Yearly"), ("/refusals/0", "CreditPack")]
    {
        let text = content.pointer(place).and_then(Value::as_str).expect("a record");
        let newer = if from.starts_with('"') { r#""Newer""# } else { "Newer" };
        let read = read_with(&content, place, &text.replacen(from, newer, 1));
        assert!(matches!(read, Err(ConvertError::NewerField { .. })), "{place}: {read:?}");
    }
}

fn object(kind: FactKind) -> ObjectName {
    ObjectName { kind, name: "n".to_owned() }
}

/// Returns the details of each kind with all optional fields, and their text.
#[expect(clippy::too_many_lines, reason = "one value for each kind of entry")]
fn full_details() -> Vec<(Detail, &'static str)> {
    let amount = credits("120.5");
    let (grant, invoice) = ("plan/4".to_owned(), "acme-1f3a9c2e-0007".to_owned());
    let window = Window { start_time: start(), end_time: end() };
    let monthly = PlanPeriod { plan: "starter".to_owned(), billing_period: BillingPeriod::Monthly };
    let yearly = PlanPeriod { plan: "growth".to_owned(), billing_period: BillingPeriod::Yearly };
    vec![
        (
            Detail::Granted {
                amount,
                grant: grant.clone(),
                plan: monthly.clone(),
                period_number: 4,
                expiration_time: end(),
                debt_repaid: credits("1"),
            },
            r#"{"amount":"120.5","billingPeriod":"Monthly","debtRepaid":"1","expirationTime":"2026-02-28T10:00:00Z","grant":"plan/4","periodNumber":4,"plan":"starter"}"#,
        ),
        (
            Detail::Purchased {
                amount,
                grant: grant.clone(),
                object: object(FactKind::CreditPack),
                pack: "plus-500".to_owned(),
                invoice: Some(invoice.clone()),
                expiration_time: Some(end()),
                debt_repaid: Credits::ZERO,
            },
            r#"{"amount":"120.5","debtRepaid":"0","expirationTime":"2026-02-28T10:00:00Z","grant":"plan/4","invoice":"acme-1f3a9c2e-0007","object":"CreditPack/n","pack":"plus-500"}"#,
        ),
        (
            Detail::Adjusted {
                amount,
                grant: grant.clone(),
                object: object(FactKind::CreditAdjustment),
                reason: "outage".to_owned(),
                expiration_time: Some(end()),
                debt_repaid: Credits::ZERO,
            },
            r#"{"amount":"120.5","debtRepaid":"0","expirationTime":"2026-02-28T10:00:00Z","grant":"plan/4","object":"CreditAdjustment/n","reason":"outage"}"#,
        ),
        (
            Detail::Charged {
                amount,
                object: object(FactKind::UsageReport),
                source: "gw-eu-1".to_owned(),
                window,
                period_number: Some(4),
                paid_by: vec![PaidBy { grant: grant.clone(), amount }],
                debt: Credits::ZERO,
            },
            r#"{"amount":"120.5","debt":"0","object":"UsageReport/n","paidBy":[{"amount":"120.5","grant":"plan/4"}],"periodNumber":4,"source":"gw-eu-1","window":{"endTime":"2026-02-28T10:00:00Z","startTime":"2026-01-31T10:00:00Z"}}"#,
        ),
        (Detail::Expired { amount, grant: grant.clone() }, r#"{"amount":"120.5","grant":"plan/4"}"#),
        (Detail::SettlementClosed { amount, grant: grant.clone() }, r#"{"amount":"120.5","grant":"plan/4"}"#),
        (
            Detail::Refunded {
                amount,
                grant: Some(grant),
                invoice: invoice.clone(),
                object: object(FactKind::Payment),
            },
            r#"{"amount":"120.5","grant":"plan/4","invoice":"acme-1f3a9c2e-0007","object":"Payment/n"}"#,
        ),
        (
            Detail::PlanChanged { from: Some(monthly.clone()), to: yearly.clone(), period_number: 4 },
            r#"{"from":{"billingPeriod":"Monthly","plan":"starter"},"periodNumber":4,"to":{"billingPeriod":"Yearly","plan":"growth"}}"#,
        ),
        (
            Detail::Renewed { plan: yearly.clone(), period_number: 4, period: window },
            r#"{"billingPeriod":"Yearly","period":{"endTime":"2026-02-28T10:00:00Z","startTime":"2026-01-31T10:00:00Z"},"periodNumber":4,"plan":"growth"}"#,
        ),
        (
            Detail::Lapsed { from: yearly, to: Some(monthly), cause: LapseCause::RenewalNone },
            r#"{"cause":"RenewalNone","from":{"billingPeriod":"Yearly","plan":"growth"},"to":{"billingPeriod":"Monthly","plan":"starter"}}"#,
        ),
        (
            Detail::Invoiced {
                amount,
                currency: "USD".to_owned(),
                invoice: invoice.clone(),
                reason: InvoiceReason::Pack,
                object: Some(object(FactKind::CreditPack)),
                due_time: Some(end()),
                lines: vec![InvoiceLine {
                    plan: None,
                    billing_period: None,
                    pack: Some("plus-100".to_owned()),
                    credits: amount,
                    amount,
                }],
                billing_details: Some(BillingDetails {
                    name: Some("Acme".to_owned()),
                    tax_id: Some("DE1".to_owned()),
                    ..BillingDetails::default()
                }),
            },
            r#"{"amount":"120.5","billingDetails":{"name":"Acme","taxID":"DE1"},"currency":"USD","dueTime":"2026-02-28T10:00:00Z","invoice":"acme-1f3a9c2e-0007","lines":[{"amount":"120.5","credits":"120.5","pack":"plus-100"}],"object":"CreditPack/n","reason":"Pack"}"#,
        ),
        (
            Detail::Settled {
                amount,
                currency: "USD".to_owned(),
                invoice: invoice.clone(),
                state: InvoiceState::RefundDue,
                object: Some(object(FactKind::Payment)),
            },
            r#"{"amount":"120.5","currency":"USD","invoice":"acme-1f3a9c2e-0007","object":"Payment/n","state":"RefundDue"}"#,
        ),
        (
            Detail::Voided {
                amount,
                currency: "USD".to_owned(),
                invoice,
                cause: VoidCause::PaymentCancelled,
                object: Some(object(FactKind::Payment)),
            },
            r#"{"amount":"120.5","cause":"PaymentCancelled","currency":"USD","invoice":"acme-1f3a9c2e-0007","object":"Payment/n"}"#,
        ),
        (Detail::Threshold { percent: 80 }, r#"{"percent":80}"#),
        (Detail::Accepted { sequence: 41 }, r#"{"sequence":41}"#),
        (
            Detail::Refused {
                object: object(FactKind::CreditPack),
                refusal: Refusal {
                    reason: RefusalReason::PackLimitReached,
                    message: "a message".to_owned(),
                    next_available_time: Some(end()),
                },
            },
            r#"{"message":"a message","nextAvailableTime":"2026-02-28T10:00:00Z","object":"CreditPack/n","reason":"PackLimitReached"}"#,
        ),
    ]
}

/// Returns the details of the kinds with optional fields, without these fields, and their text.
#[expect(clippy::too_many_lines, reason = "one value for each kind of entry")]
fn bare_details() -> Vec<(Detail, &'static str)> {
    let amount = credits("120.5");
    let (grant, invoice) = ("plan/4".to_owned(), "acme-1f3a9c2e-0007".to_owned());
    let window = Window { start_time: start(), end_time: end() };
    let monthly = PlanPeriod { plan: "starter".to_owned(), billing_period: BillingPeriod::Monthly };
    vec![
        (
            Detail::Purchased {
                amount,
                grant: grant.clone(),
                object: object(FactKind::CreditPack),
                pack: "plus-500".to_owned(),
                invoice: None,
                expiration_time: None,
                debt_repaid: Credits::ZERO,
            },
            r#"{"amount":"120.5","debtRepaid":"0","grant":"plan/4","object":"CreditPack/n","pack":"plus-500"}"#,
        ),
        (
            Detail::Adjusted {
                amount,
                grant,
                object: object(FactKind::CreditAdjustment),
                reason: "outage".to_owned(),
                expiration_time: None,
                debt_repaid: Credits::ZERO,
            },
            r#"{"amount":"120.5","debtRepaid":"0","grant":"plan/4","object":"CreditAdjustment/n","reason":"outage"}"#,
        ),
        (
            Detail::Charged {
                amount,
                object: object(FactKind::UsageReport),
                source: "gw-eu-1".to_owned(),
                window,
                period_number: None,
                paid_by: Vec::new(),
                debt: amount,
            },
            r#"{"amount":"120.5","debt":"120.5","object":"UsageReport/n","paidBy":[],"source":"gw-eu-1","window":{"endTime":"2026-02-28T10:00:00Z","startTime":"2026-01-31T10:00:00Z"}}"#,
        ),
        (
            Detail::Refunded {
                amount,
                grant: None,
                invoice: invoice.clone(),
                object: object(FactKind::Payment),
            },
            r#"{"amount":"120.5","invoice":"acme-1f3a9c2e-0007","object":"Payment/n"}"#,
        ),
        (
            Detail::PlanChanged { from: None, to: monthly.clone(), period_number: 4 },
            r#"{"periodNumber":4,"to":{"billingPeriod":"Monthly","plan":"starter"}}"#,
        ),
        (
            Detail::Lapsed { from: monthly, to: None, cause: LapseCause::PaymentOverdue },
            r#"{"cause":"PaymentOverdue","from":{"billingPeriod":"Monthly","plan":"starter"}}"#,
        ),
        (
            Detail::Invoiced {
                amount,
                currency: "USD".to_owned(),
                invoice: invoice.clone(),
                reason: InvoiceReason::Start,
                object: None,
                due_time: None,
                lines: vec![InvoiceLine {
                    plan: Some("starter".to_owned()),
                    billing_period: Some(BillingPeriod::Monthly),
                    pack: None,
                    credits: amount,
                    amount,
                }],
                billing_details: None,
            },
            r#"{"amount":"120.5","currency":"USD","invoice":"acme-1f3a9c2e-0007","lines":[{"amount":"120.5","billingPeriod":"Monthly","credits":"120.5","plan":"starter"}],"reason":"Start"}"#,
        ),
        (
            Detail::Settled {
                amount,
                currency: "USD".to_owned(),
                invoice: invoice.clone(),
                state: InvoiceState::Settled,
                object: None,
            },
            r#"{"amount":"120.5","currency":"USD","invoice":"acme-1f3a9c2e-0007","state":"Settled"}"#,
        ),
        (
            Detail::Voided {
                amount,
                currency: "USD".to_owned(),
                invoice,
                cause: VoidCause::Superseded,
                object: None,
            },
            r#"{"amount":"120.5","cause":"Superseded","currency":"USD","invoice":"acme-1f3a9c2e-0007"}"#,
        ),
        (
            Detail::Refused {
                object: object(FactKind::CreditPack),
                refusal: Refusal {
                    reason: RefusalReason::UnknownPack,
                    message: "a message".to_owned(),
                    next_available_time: None,
                },
            },
            r#"{"message":"a message","object":"CreditPack/n","reason":"UnknownPack"}"#,
        ),
    ]
}

/// Returns the entry with this detail, as text.
fn text_of(detail: &Detail) -> String {
    let entry =
        Entry { time: start(), credits: credits("-120.5"), balance: credits("980"), detail: detail.clone() };
    entry_to_json("default/acme", &entry).to_string()
}

#[test]
fn an_entry_of_each_kind_has_exactly_this_text() {
    let full = full_details();
    assert_eq!(full.iter().map(|(detail, _)| detail.kind()).collect::<Vec<_>>(), Detail::KINDS);
    for (detail, text) in full.into_iter().chain(bare_details()) {
        let kind = detail.kind();
        let entry = format!(
            r#"{{"balance":"980","credits":"-120.5","detail":{text},"kind":"{kind}","subscription":"default/acme","time":"2026-01-31T10:00:00Z"}}"#
        );
        assert_eq!(text_of(&detail), entry);
    }
}

#[test]
fn each_word_of_an_entry_is_its_name() {
    let word = |detail: &Detail, field: &str| {
        let entry: Value = serde_json::from_str(&text_of(detail)).expect("JSON");
        entry["detail"][field].as_str().expect("a word").to_owned()
    };
    let plan = PlanPeriod { plan: "starter".to_owned(), billing_period: BillingPeriod::Monthly };
    for cause in LapseCause::ALL {
        let detail = Detail::Lapsed { from: plan.clone(), to: None, cause };
        assert_eq!(word(&detail, "cause"), cause.as_str());
    }
    let (amount, currency, invoice) = (credits("1"), "USD".to_owned(), "acme-1".to_owned());
    for cause in [VoidCause::Superseded, VoidCause::PaymentCancelled, VoidCause::PaymentExpired] {
        let (currency, invoice) = (currency.clone(), invoice.clone());
        let detail = Detail::Voided { amount, currency, invoice, cause, object: None };
        assert_eq!(word(&detail, "cause"), cause.as_str());
    }
    for state in InvoiceState::ALL {
        let (currency, invoice) = (currency.clone(), invoice.clone());
        let detail = Detail::Settled { amount, currency, invoice, state, object: None };
        assert_eq!(word(&detail, "state"), state.as_str());
    }
    for reason in [
        InvoiceReason::Start,
        InvoiceReason::Renewal,
        InvoiceReason::Upgrade,
        InvoiceReason::Reactivation,
        InvoiceReason::Pack,
    ] {
        let (currency, invoice) = (currency.clone(), invoice.clone());
        let detail = Detail::Invoiced {
            amount,
            currency,
            invoice,
            reason,
            object: None,
            due_time: None,
            lines: Vec::new(),
            billing_details: None,
        };
        assert_eq!(word(&detail, "reason"), reason.as_str());
    }
    for reason in RefusalReason::ALL {
        let refusal = Refusal { reason, message: String::new(), next_available_time: None };
        let detail = Detail::Refused { object: object(FactKind::CreditPack), refusal };
        assert_eq!(word(&detail, "reason"), reason.as_str());
    }
}
