//! Properties of the parsers of untrusted input, for every input.
//!
//! Each function is a fuzz target (`make fuzz`). The suite runs it on the committed corpus.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue};
use flashgate_api::{CreditAdjustment, CreditLedgerSpec, CreditPack, Payment, Subscription, UsageReport};
use flashgate_billing::admission::Admission;
use flashgate_billing::catalog as catalog_file;
use flashgate_billing::payments::callback::Callback;
use flashgate_billing::payments::secrets::Keyring;
use flashgate_billing::payments::signature::HEADER;
use flashgate_billing::simulate::SimulateError;
use flashgate_billing::simulate::manifest::{Manifest, manifests};
use flashgate_ledger::Quantity;
use flashgate_ledger::decide::decide;
use flashgate_ledger::facts::Facts;
use flashgate_preview::convert;
use flashgate_preview::convert::ConvertError;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::Sha256;

static ADMISSION: LazyLock<Admission> = LazyLock::new(|| Admission::new().expect("the CRDs compile"));

/// The key that signs callbacks in these tests.
const SECRET: &[u8] = b"what callbacks of the fuzz targets are signed with";

/// The time that decisions on a ledger cover: more than a yearly period.
const PLAYED_ON: SignedDuration = SignedDuration::from_hours(24 * 400);

/// The parser of quantities accepts exactly what admission accepts.
pub fn quantity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let report = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport", "metadata": {"name": "gw-1"},
        "spec": {
            "subscriptionRef": {"name": "acme"}, "source": "gw",
            "window": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z"},
            "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": text}],
        },
    });
    let admitted = ADMISSION.admit(&report, None);
    let parsed = text.parse::<Quantity>();
    assert_eq!(admitted.is_ok(), parsed.is_ok(), "{text:?}: {admitted:?}, {parsed:?}");
    if let Ok(quantity) = parsed {
        assert!(quantity <= Quantity::LINE_LIMIT, "{text:?} is {quantity}");
        assert_eq!(Quantity::from_total(&quantity.to_string()).as_ref(), Ok(&quantity), "{text:?}");
    }
}

/// A catalog is rejected with the line of each mistake, and the same text is always the same catalog.
pub fn catalog(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = catalog_file::parse(text, "catalog.yaml");
    match &read {
        Ok(catalog) => assert!(!catalog.currency.is_empty()),
        Err(errors) => {
            let said = errors.to_string();
            let names_its_line = |line: &str| {
                let position = line.strip_prefix("catalog.yaml:").and_then(|rest| rest.split(':').next());
                position.is_some_and(|line| line.parse::<usize>().is_ok_and(|line| line > 0))
            };
            assert!(said.lines().next().is_some_and(names_its_line), "{text:?}: {said}");
        }
    }
    assert_eq!(read, catalog_file::parse(text, "catalog.yaml"), "{text:?}");
}

/// Each document of a manifest is named by its position, in the order of the text. The operator can decode
/// every object that admission accepts.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut before = (0, 0);
    for manifest in manifests("manifest.yaml", text) {
        let place = match &manifest {
            Ok(manifest) => &manifest.place,
            Err(SimulateError::Unreadable { place, .. }) => place,
            Err(error) => unreachable!("reading refuses nothing else: {text:?}: {error}"),
        };
        assert!(place.line <= text.split(['\n', '\r']).count(), "{place} of {text:?}");
        assert!(before <= (place.document, place.line), "{place} of {text:?}, after {before:?}");
        before = (place.document, place.line);
        if let Ok(Manifest { object: Value::Object(object), .. }) = manifest {
            admitted_is_understood(object);
        }
    }
}

fn admitted_is_understood(mut object: Map<String, Value>) {
    // Only the operator writes a status. The API server drops a user's.
    object.remove("status");
    let Ok(mut admitted) = ADMISSION.admit(&Value::Object(object), None) else { return };
    let given = json!({
        "name": admitted["metadata"]["name"].as_str().unwrap_or("acme"), "namespace": "default", "generation": 1,
        "uid": "6f1f0c9e-0000-4000-8000-000000000000", "creationTimestamp": "2026-03-01T10:00:00Z",
    });
    admitted["metadata"] = given;
    let understood = match admitted["kind"].as_str() {
        Some("Subscription") => understand::<Subscription, _>(&admitted, convert::subscription_fact),
        Some("CreditPack") => understand::<CreditPack, _>(&admitted, convert::pack_fact),
        Some("UsageReport") => understand::<UsageReport, _>(&admitted, convert::report_fact),
        Some("Payment") => understand::<Payment, _>(&admitted, convert::payment_fact),
        Some("CreditAdjustment") => understand::<CreditAdjustment, _>(&admitted, convert::adjustment_fact),
        _ => Ok(()),
    };
    assert_eq!(understood, Ok(()), "{admitted:#}");
}

fn understand<K: serde::de::DeserializeOwned, F>(
    object: &Value,
    fact: impl Fn(&K) -> Result<F, ConvertError>,
) -> Result<(), String> {
    let object: K = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    fact(&object).map(drop).map_err(|error| error.to_string())
}

/// A ledger that is accepted is written again unchanged, and decisions on it never panic.
pub fn ledger(bytes: &[u8]) {
    let Ok(mut spec) = serde_json::from_slice::<CreditLedgerSpec>(bytes) else { return };
    if spec.hash != convert::hash_of(&spec) {
        assert!(convert::ledger_from_wire("acme", &spec).is_err(), "a wrong hash is found");
        spec.hash = convert::hash_of(&spec);
    }
    let Ok(ledger) = convert::ledger_from_wire("acme", &spec) else { return };
    let written =
        convert::ledger_to_wire(&ledger, Some(&spec), &[], convert::Commit::of("default/acme", "fuzz"));
    assert_eq!(convert::ledger_from_wire("acme", &written).as_ref(), Ok(&ledger));
    let facts = Facts { name: "acme".to_owned(), ..Facts::default() };
    let later = ledger.clock_time.saturating_add(PLAYED_ON).unwrap_or(ledger.clock_time);
    let _ = ledger.check();
    let _ = decide(Some(&ledger), &facts, &catalog_file::shipped(), later);
}

/// The first line of the input is a header, the rest is a body. The webhook accepts only signed callbacks,
/// and gives each Payment a name that the API server accepts.
pub fn callback(bytes: &[u8]) {
    let (header, body) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let secrets = Keyring::parse("secrets", SECRET).expect("secret");
    let now = Timestamp::from_second(1_772_359_200).expect("time");
    let given = |header: &[u8]| {
        HeaderValue::from_bytes(header)
            .map(|header| HeaderMap::from_iter([(HEADER.parse().expect("name"), header)]))
    };
    if let Ok(headers) = given(header)
        && secrets.verify("default", &headers, body, now).is_ok()
    {
        let header = String::from_utf8_lossy(header).to_ascii_lowercase();
        let fits = |time: &str| header.contains(&tag(time, body));
        let times = header.split(',').filter_map(|part| part.trim().strip_prefix("t="));
        assert!(
            times.map(str::to_owned).any(|time| fits(&time)),
            "accepted a header without a valid signature: {header}"
        );
    }
    let time = now.as_second().to_string();
    let signed = given(format!("t={time},v1={}", tag(&time, body)).as_bytes()).expect("header");
    assert!(secrets.verify("default", &signed, body, now).is_ok(), "what was signed is believed");
    if let Ok(callback) = Callback::parse(body) {
        assert_eq!(Callback::parse(body).ok().as_ref(), Some(&callback));
        let payment = serde_json::to_value(callback.into_payment()).expect("JSON");
        let errors = ADMISSION.admit(&payment, None).err().unwrap_or_default();
        let named: BTreeMap<_, _> =
            errors.iter().map(|error| (error.field.as_str(), &error.message)).collect();
        assert!(!named.keys().any(|field| field.starts_with("metadata")), "{payment:#}: {named:?}");
    }
}

fn tag(time: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("key");
    let mac = mac.chain_update(time).chain_update(".").chain_update(body).finalize().into_bytes();
    mac.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
