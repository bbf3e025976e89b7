//! The spec of a meter in the types of its code.

use std::collections::BTreeMap;

use flashgate_api::usage_meter::{MeterNamespace, MeterWindow, RateName, UsageMeter, UsageMeterSpec};
use flashgate_api::{AccountKey, Quantity, usage_report::UsageLine};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use rust_decimal::Decimal;

use crate::answer::Labels;
use crate::lines::{Group, Line};
use crate::name::{Meter, hash_of};
use crate::selector::Selector;
use crate::window::Lengths;

/// Least value of the default limit of new series.
const LEAST_LIMIT: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// The same for egress, which is counted in bytes: 100 GB cost as much as a million tokens.
const LEAST_EGRESS_LIMIT: Decimal = Decimal::from_parts(1_215_752_192, 23, 0, false, 0);

/// The operation whose unit is the byte.
const EGRESS: &str = "StorageEgress";

/// The default limit of new series as a multiple of the largest usage of a window.
const LIMIT_FACTOR: Decimal = Decimal::TEN;

/// Most characters of the value of a line's label.
const LABEL_CHARACTERS: usize = 63;

/// The spec of a meter in the types of its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Namespace of the meter.
    pub namespace: String,
    /// Name of the meter.
    pub name: String,
    /// UID of the meter.
    pub uid: String,
    /// Name of the server.
    pub server: String,
    /// All series of the meter.
    pub selector: Selector,
    /// Hash of the server, the series and the labels of their accounts. Readings of another selection are not complete.
    pub selection: String,
    /// Lengths of the windows.
    pub lengths: Lengths,
    /// Time after the end of a window at which it is read.
    pub delay: SignedDuration,
    /// Time from which usage is counted.
    pub start: Timestamp,
    /// Factor from the unit of the counter to that of the rate.
    pub multiplier: Decimal,
    account: Place,
    node_type: RateName,
    operation: RateName,
    labels: BTreeMap<String, String>,
    new_series_limit: Option<Decimal>,
}

/// The labels that name the account of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    label: String,
    namespace: Option<MeterNamespace>,
}

/// A value of the spec that admission accepts only from another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` has the value '{value}', which this version cannot read")]
pub struct UnreadableTerms {
    field: &'static str,
    value: String,
}

/// The value of a label for which the meter names no node type or operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the label `{label}` of a series has the value '{value}', for which `spec.usage.{field}` has no name"
)]
pub struct Unrated {
    /// Field of the spec.
    pub field: &'static str,
    /// Label.
    pub label: String,
    /// Its value; empty if the series does not have the label.
    pub value: String,
}

impl Terms {
    /// Returns the terms of a meter.
    ///
    /// # Errors
    /// When a value cannot be read. Admission refuses such values.
    pub fn of(meter: &UsageMeter) -> Result<Self, UnreadableTerms> {
        let UsageMeterSpec { prometheus, counter, selector, account, usage, labels, window, .. } =
            &meter.spec;
        let unreadable = |field, value: &str| UnreadableTerms { field, value: value.to_owned() };
        let multiplier = Decimal::from_str_exact(&usage.multiplier)
            .map_err(|_| unreadable("spec.usage.multiplier", &usage.multiplier))?;
        let selector = Selector {
            counter: counter.clone(),
            given: without_braces(selector.as_deref().unwrap_or_default()).to_owned(),
            labels: Labels::new(),
        };
        let creation = meter.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let start = meter.spec.start_time.or(creation).unwrap_or_default();
        Ok(Self {
            namespace: meter.namespace().unwrap_or_default(),
            name: meter.name_any(),
            uid: meter.uid().unwrap_or_default(),
            server: prometheus.clone(),
            selection: hash_of(&format!("{prometheus} {selector} {account:?}")),
            selector,
            lengths: lengths(window)?,
            delay: SignedDuration::from_secs(meter.spec.delay_seconds.into()),
            start,
            multiplier,
            account: Place { label: account.label.clone(), namespace: account.namespace.clone() },
            node_type: usage.node_type.clone(),
            operation: usage.operation.clone(),
            labels: labels.clone(),
            new_series_limit: meter.spec.new_series_limit.map(Decimal::from),
        })
    }

    /// Returns whether a Subscription in this namespace can be an account of the meter.
    #[must_use]
    pub fn reaches(&self, namespace: &str) -> bool {
        self.only_namespace().is_none_or(|only| only == namespace)
    }

    /// Returns the namespace of all accounts, if they are in one.
    #[must_use]
    pub fn only_namespace(&self) -> Option<&str> {
        match &self.account.namespace {
            None => Some(&self.namespace),
            Some(place) => place.value.as_deref(),
        }
    }

    /// Returns the account of a series, or nothing if it does not have the labels.
    #[must_use]
    pub fn account_of(&self, labels: &Labels) -> Option<AccountKey> {
        let value = |label: &str| labels.get(label).filter(|value| !value.is_empty()).cloned();
        let namespace = match &self.account.namespace {
            None => self.namespace.clone(),
            Some(MeterNamespace { value: Some(fixed), .. }) => fixed.clone(),
            Some(MeterNamespace { label, .. }) => value(label.as_deref().unwrap_or_default())?,
        };
        Some(AccountKey { namespace, name: value(&self.account.label)? })
    }

    /// Returns the value of the account's label, for messages: `(no label)` if the series does not have it.
    #[must_use]
    pub fn account_value(&self, labels: &Labels) -> String {
        let value = |label: &str| {
            labels
                .get(label)
                .filter(|value| !value.is_empty())
                .map_or("(no label)", String::as_str)
                .to_owned()
        };
        match &self.account.namespace {
            Some(MeterNamespace { label: Some(namespace), .. }) => {
                format!("{}/{}", value(namespace), value(&self.account.label))
            }
            _ => value(&self.account.label),
        }
    }

    /// Returns the series of an account.
    #[must_use]
    pub fn series_of(&self, account: &AccountKey) -> Selector {
        let selector = self.selector.with(&self.account.label, &account.name);
        match &self.account.namespace {
            Some(MeterNamespace { label: Some(label), .. }) => selector.with(label, &account.namespace),
            _ => selector,
        }
    }

    /// Returns the series that have the same labels of the account as this one. The account need not exist.
    #[must_use]
    pub fn series_like(&self, labels: &Labels) -> Selector {
        let value = |label: &str| labels.get(label).map_or("", String::as_str).to_owned();
        let selector = self.selector.with(&self.account.label, &value(&self.account.label));
        match &self.account.namespace {
            Some(MeterNamespace { label: Some(label), .. }) => selector.with(label, &value(label)),
            _ => selector,
        }
    }

    /// Returns the name of the meter as the reports of an account have it.
    #[must_use]
    pub fn meter_for(&self, account: &AccountKey) -> Meter<'_> {
        let is_elsewhere = account.namespace != self.namespace;
        Meter { namespace: is_elsewhere.then_some(self.namespace.as_str()), name: &self.name }
    }

    /// Returns the rate and the labels of the line to which a series adds.
    ///
    /// # Errors
    /// When the meter names no node type or operation for the series.
    pub fn group(&self, series: &Labels) -> Result<Group, Unrated> {
        let labels = self.labels.iter().filter_map(|(name, label)| {
            let value = series.get(label).filter(|value| !value.is_empty())?;
            Some((name.clone(), value.chars().take(LABEL_CHARACTERS).collect()))
        });
        Ok(Group {
            node_type: rate_name("nodeType", &self.node_type, series)?,
            operation: rate_name("operation", &self.operation, series)?,
            labels: labels.collect(),
        })
    }

    /// Returns a rate that the meter can use, for a report of quantity 0.
    #[must_use]
    pub fn some_rate(&self) -> (String, String) {
        let some = |name: &RateName, default: &str| {
            name.value
                .clone()
                .or_else(|| name.values.values().next().cloned())
                .unwrap_or_else(|| default.to_owned())
        };
        (some(&self.node_type, "Public"), some(&self.operation, "TokensOut"))
    }

    /// Returns the most usage that the first values of new series may add to a window of an account, whose largest usage
    /// of a window is known.
    #[must_use]
    pub fn new_series_limit(&self, largest: Decimal) -> Decimal {
        let least =
            if self.operation.value.as_deref() == Some(EGRESS) { LEAST_EGRESS_LIMIT } else { LEAST_LIMIT };
        let default = || largest.checked_mul(LIMIT_FACTOR).unwrap_or(Decimal::MAX).max(least);
        self.new_series_limit.unwrap_or_else(default)
    }
}

/// Returns a line as the custom resource has it.
#[must_use]
pub fn usage_line(line: Line) -> UsageLine {
    let Line { group: Group { node_type, operation, labels }, quantity } = line;
    UsageLine { node_type, operation, quantity: Quantity(quantity.normalize().to_string()), labels }
}

fn rate_name(field: &'static str, name: &RateName, series: &Labels) -> Result<String, Unrated> {
    if let Some(fixed) = &name.value {
        return Ok(fixed.clone());
    }
    let label = name.label.clone().unwrap_or_default();
    let value = series.get(&label).cloned().unwrap_or_default();
    let found = if name.values.is_empty() {
        Some(value.clone()).filter(|value| is_rate_name(value))
    } else {
        name.values.get(&value).cloned()
    };
    found.ok_or(Unrated { field, label, value })
}

/// Returns whether a text can be a node type or an operation of a catalog.
fn is_rate_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.len() <= LABEL_CHARACTERS
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn lengths(window: &MeterWindow) -> Result<Lengths, UnreadableTerms> {
    let read = |field, text: &str| {
        text.parse::<SignedDuration>().map_err(|_| UnreadableTerms { field, value: text.to_owned() })
    };
    Ok(Lengths {
        length: read("spec.window.length", &window.length)?,
        shortest: read("spec.window.shortest", &window.shortest)?,
    })
}

fn without_braces(selector: &str) -> &str {
    let selector = selector.trim();
    selector.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(selector).trim()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meter(spec: &serde_json::Value) -> UsageMeter {
        let object = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageMeter",
            "metadata": {
                "name": "tokens", "namespace": "team-a", "uid": "u", "creationTimestamp": "2026-03-01T10:00:00Z",
            },
            "spec": spec,
        });
        serde_json::from_value(object).expect("meter")
    }

    fn terms(change: impl FnOnce(&mut serde_json::Value)) -> Terms {
        let mut spec = json!({
            "counter": "tokens_total", "account": {"label": "org"},
            "usage": {"nodeType": {"value": "Public"}, "operation": {"value": "TokensOut"}},
        });
        change(&mut spec);
        Terms::of(&meter(&spec)).expect("terms")
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    fn account(namespace: &str, name: &str) -> AccountKey {
        AccountKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn defaults_are_those_of_the_kind() {
        let terms = terms(|_| ());
        assert_eq!(terms.server, "default");
        assert_eq!(terms.selector.to_string(), "tokens_total{}");
        assert_eq!(terms.start.to_string(), "2026-03-01T10:00:00Z");
        assert_eq!(terms.delay, SignedDuration::from_mins(2));
        let lengths =
            Lengths { length: SignedDuration::from_hours(1), shortest: SignedDuration::from_mins(1) };
        assert_eq!((terms.lengths, terms.multiplier), (lengths, Decimal::ONE));
        assert_eq!(terms.new_series_limit(Decimal::ONE), Decimal::from(1_000_000));
        assert_eq!(terms.new_series_limit(Decimal::from(1_000_000)), Decimal::from(10_000_000));
        let egress = self::terms(|spec| spec["usage"]["operation"] = json!({"value": "StorageEgress"}));
        assert_eq!(egress.new_series_limit(Decimal::ONE), Decimal::from(100_000_000_000_u64));
    }

    #[test]
    fn the_account_of_a_series_is_in_the_namespace_of_the_meter_a_fixed_one_or_that_of_a_label() {
        let series = labels(&[("org", "acme"), ("ns", "team-b")]);
        let own = terms(|_| ());
        assert_eq!(own.account_of(&series), Some(account("team-a", "acme")));
        assert_eq!(own.series_of(&account("team-a", "acme")).to_string(), r#"tokens_total{org="acme"}"#);
        assert!(own.reaches("team-a") && !own.reaches("team-b"));
        assert_eq!(own.meter_for(&account("team-a", "acme")).source(), "meter.tokens");
        assert_eq!(own.account_of(&labels(&[("org", "")])), None);
        assert_eq!(own.account_value(&labels(&[])), "(no label)");
        let fixed = terms(|spec| spec["account"]["namespace"] = json!({"value": "team-c"}));
        assert_eq!(fixed.account_of(&series), Some(account("team-c", "acme")));
        assert!(fixed.reaches("team-c") && !fixed.reaches("team-a"));
        assert_eq!(fixed.meter_for(&account("team-c", "acme")).source(), "meter.team-a.tokens");
        let by_label = terms(|spec| spec["account"]["namespace"] = json!({"label": "ns"}));
        assert_eq!(by_label.account_of(&series), Some(account("team-b", "acme")));
        assert_eq!(by_label.account_of(&labels(&[("org", "acme")])), None);
        assert_eq!(by_label.account_value(&labels(&[("org", "acme")])), "(no label)/acme");
        let selected = by_label.series_of(&account("team-b", "acme")).to_string();
        assert_eq!(selected, r#"tokens_total{ns="team-b",org="acme"}"#);
    }

    #[test]
    fn a_rate_is_fixed_or_comes_from_a_label() {
        let by_label = terms(|spec| {
            spec["usage"]["nodeType"] = json!({"label": "node"});
            spec["usage"]["operation"] = json!({"label": "op", "values": {"out": "TokensOut"}});
            spec["labels"] = json!({"model": "gen_ai_model"});
        });
        let long = "m".repeat(70);
        let group = by_label.group(&labels(&[("node", "Private"), ("op", "out"), ("gen_ai_model", &long)]));
        let group = group.expect("a rate");
        assert_eq!((group.node_type.as_str(), group.operation.as_str()), ("Private", "TokensOut"));
        assert_eq!(group.labels, labels(&[("model", &long[..63])]));
        for (series, field, value) in [
            (labels(&[("node", "Private"), ("op", "in")]), "operation", "in"),
            (labels(&[("node", "private"), ("op", "out")]), "nodeType", "private"),
            (labels(&[("op", "out")]), "nodeType", ""),
        ] {
            let unrated = by_label.group(&series).expect_err("no rate");
            assert_eq!((unrated.field, unrated.value.as_str()), (field, value));
        }
    }

    #[test]
    fn readings_belong_to_one_selection_of_series() {
        let selector = |selector: &str| {
            let selector = selector.to_owned();
            terms(move |spec| spec["selector"] = selector.into())
        };
        let (one, other) = (selector(r#"{type="output"}"#), selector(r#"{type="input"}"#));
        assert_eq!(one.selector.to_string(), r#"tokens_total{type="output"}"#);
        assert_ne!(one.selection, other.selection);
        assert_eq!(one.selection, selector(r#"{ type="output" }"#).selection);
        assert_ne!(one.selection, terms(|spec| spec["prometheus"] = "other".into()).selection);
        let by_team = terms(|spec| spec["account"] = json!({"label": "team"}));
        assert_ne!(by_team.selection, terms(|_| ()).selection);
    }
}
