//! The fields of an entry's detail, as texts for people.

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use jiff::Timestamp;
use serde_json::Value;

use crate::book::EntryContent;
use crate::offers::plan_name;
use crate::page::format;

/// The detail of an entry, with the names of the catalog.
#[derive(Clone, Copy)]
pub(super) struct Detail<'a> {
    /// The catalog.
    pub catalog: &'a Catalog,
    /// The fields.
    pub fields: &'a Value,
}

impl<'a> Detail<'a> {
    /// Returns the detail of an entry.
    pub(super) const fn of(catalog: &'a Catalog, entry: &'a EntryContent) -> Self {
        Self { catalog, fields: &entry.detail }
    }

    /// Returns the detail in a field.
    fn within(self, field: &str) -> Option<Self> {
        let fields = self.fields.get(field).filter(|fields| !fields.is_null())?;
        Some(Self { fields, ..self })
    }

    /// Returns a text.
    pub(super) fn text(self, field: &str) -> Option<&'a str> {
        self.fields.get(field)?.as_str()
    }

    /// Returns an amount of credits or money.
    pub(super) fn amount(self, field: &str) -> Credits {
        self.text(field).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Returns an amount that is above zero.
    pub(super) fn positive(self, field: &str) -> Option<Credits> {
        Some(self.amount(field)).filter(|amount| amount.is_positive())
    }

    /// Returns credits with their unit, such as `1,100 credits`.
    pub(super) fn credits(self, field: &str) -> String {
        credits(self.amount(field))
    }

    /// Returns money with its currency.
    pub(super) fn money(self) -> String {
        format::money(self.amount("amount"), self.text("currency").unwrap_or_default())
    }

    /// Returns a whole number.
    pub(super) fn number(self, field: &str) -> i64 {
        self.fields.get(field).and_then(Value::as_i64).unwrap_or_default()
    }

    /// Returns the time in a field.
    fn time(self, field: &str) -> Option<Timestamp> {
        self.text(field)?.parse().ok()
    }

    /// Returns a time as a text, if there is one.
    pub(super) fn time_text(self, field: &str) -> Option<String> {
        self.time(field).map(format::time_text)
    }

    /// Returns the time in a field of a field, as a text.
    pub(super) fn time_text_within(self, outer: &str, field: &str) -> Option<String> {
        self.within(outer)?.time_text(field)
    }

    /// Returns the object that stated a fact without its `/`, such as `CreditPack order-7`.
    pub(super) fn object(self) -> Option<String> {
        self.text("object").map(|object| object.replacen('/', " ", 1))
    }

    /// Returns the grant of a field in words.
    pub(super) fn grant(self) -> String {
        self.text("grant").map(grant_name).unwrap_or_default()
    }

    /// Returns a plan with its billing period, such as `Starter (monthly)`.
    pub(super) fn plan(self) -> String {
        let name = plan_name(self.catalog, self.text("plan").unwrap_or_default());
        match self.text("billingPeriod") {
            Some(period) => format!("{name} ({})", period.to_lowercase()),
            None => name,
        }
    }

    /// Returns the plan in a field, if there is one.
    pub(super) fn plan_within(self, field: &str) -> Option<String> {
        self.within(field).map(Self::plan)
    }

    /// Returns the grants that paid, each with its credits.
    pub(super) fn payers(self) -> Vec<(String, Credits)> {
        let payers = self.fields.get("paidBy").and_then(Value::as_array);
        let payer = |fields: &'a Value| {
            let paid = Self { fields, ..self };
            (paid.grant(), paid.amount("amount"))
        };
        payers.into_iter().flatten().map(payer).collect()
    }
}

/// Returns credits with their unit.
pub(super) fn credits(amount: Credits) -> String {
    let unit = if amount == Credits::whole(1) { "credit" } else { "credits" };
    format!("{} {unit}", format::credits(amount))
}

/// Returns a grant in words: `plan period 3`, `pack order-7` or `adjustment outage`.
fn grant_name(id: &str) -> String {
    match id.split_once('/') {
        Some(("plan", number)) => format!("plan period {number}"),
        Some((kind, name)) => format!("{kind} {name}"),
        None => id.to_owned(),
    }
}
