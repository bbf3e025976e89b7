//! FOCUS: the columns of the FinOps Open Cost and Usage Specification.
//!
//! | entry | rows |
//! |---|---|
//! | `Charged` | one `Usage` row for each row of usage, or one for the entry if it has none |
//! | `Invoiced` | one `Purchase` row with the money owed |
//! | `Voided` | a correction of that row |
//! | `Settled` of a void invoice | one `Purchase` row with the money paid |
//! | `Refunded` | a correction with the money paid back |
//! | `Purchased`, `Adjusted` | one row with the credits granted, without money |
//!
//! Money is in `BilledCost`, with the currency of the invoice. Usage is paid with credits that were invoiced before, so
//! its `BilledCost` is 0, and its other costs are in credits: their currency is `XXX`, the code of ISO 4217 for "no
//! currency". `x_Credits` has the credits of every row.

use std::io::Write;

use flashgate_ledger::Credits;
use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::csv::from_csv;
use super::{FocusVersion, Page, Sink};
use crate::error::StoreError;
use crate::read::{Row, RowContent};
use crate::record::{AccountId, EntryRecord, UsageRecord};
use crate::totals;

/// Columns of version 1.0 in the order of the specification, as the validator spells them, then those of this project.
///
/// `ChargeType` is the name that version 0.5 has for `ChargeCategory`. A rule of focus-validator 1.0.0 needs it.
const COLUMNS_1_0: &[&str] = &[
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ChargeType",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuer",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "Provider",
    "Publisher",
    "RegionId",
    "RegionName",
    "ResourceID",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_Credits",
    "x_EntryKind",
    "x_EntryNumber",
    "x_Report",
    "x_Source",
];

/// Columns of version 1.2 in the order of the specification, then those of this project.
const COLUMNS_1_2: &[&str] = &[
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "CapacityReservationId",
    "CapacityReservationStatus",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_Credits",
    "x_EntryKind",
    "x_EntryNumber",
    "x_Report",
    "x_Source",
];

/// The code of ISO 4217 for amounts that are not in a currency.
const NO_CURRENCY: &str = "XXX";

/// Provider, publisher and issuer of the invoices.
const PROVIDER: &str = "Flashgate";

/// Writes one line a charge.
pub(super) struct Focus<'a> {
    writer: ::csv::Writer<&'a mut (dyn Write + Send)>,
    columns: &'static [&'static str],
}

impl<'a> Focus<'a> {
    pub fn new(output: &'a mut (dyn Write + Send), version: FocusVersion) -> Result<Self, StoreError> {
        let columns = match version {
            FocusVersion::V1_0 => COLUMNS_1_0,
            FocusVersion::V1_2 => COLUMNS_1_2,
        };
        let mut writer = ::csv::Writer::from_writer(output);
        writer.write_record(columns).map_err(from_csv)?;
        Ok(Self { writer, columns })
    }
}

impl Sink for Focus<'_> {
    fn page(&mut self, page: &Page<'_>) -> Result<(), StoreError> {
        for row in &page.rows {
            for charge in charges(page, row) {
                let fields = self.columns.iter().map(|column| charge.field(column));
                self.writer.write_record(fields).map_err(from_csv)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        Ok(self.writer.flush()?)
    }
}

/// A row of the export.
struct Charge<'a> {
    account: &'a AccountId,
    entry: &'a EntryRecord,
    usage: Option<&'a UsageRecord>,
    category: &'static str,
    frequency: &'static str,
    is_correction: bool,
    description: String,
    sku: String,
    /// Money, with its currency. Absent for credits.
    money: Option<(Credits, String)>,
    /// Credits used or granted.
    credits: Credits,
}

/// Returns the charges of a row.
fn charges<'a>(page: &'a Page<'_>, row: &'a Row) -> Vec<Charge<'a>> {
    let RowContent::Entry { entry, .. } = &row.content else {
        return Vec::new();
    };
    let text = |key: &str| entry.detail.get(key).and_then(Value::as_str).unwrap_or_default();
    let amount = totals::amount(entry);
    let invoice = text("invoice");
    let base = |category, description: String, sku: String| Charge {
        account: page.account,
        entry,
        usage: None,
        category,
        frequency: "One-Time",
        is_correction: false,
        description,
        sku,
        money: None,
        credits: Credits::ZERO,
    };
    let money = |amount: Credits, description: String| Charge {
        money: Some((amount, text("currency").to_owned())),
        ..base("Purchase", description, "Invoice".to_owned())
    };
    match entry.kind.as_str() {
        "Charged" => match page.usage.get(&(row.branch.clone(), entry.number)) {
            Some(usage) => usage.iter().map(|usage| of_usage(base, usage)).collect(),
            None => vec![Charge {
                frequency: "Usage-Based",
                credits: amount,
                ..base("Usage", text("object").to_owned(), "Usage".to_owned())
            }],
        },
        "Invoiced" => {
            let frequency = if text("reason") == "Renewal" { "Recurring" } else { "One-Time" };
            let sku = format!("Invoice/{}", text("reason"));
            vec![Charge { frequency, sku, ..money(amount, format!("invoice {invoice}")) }]
        }
        "Voided" => vec![Charge {
            is_correction: true,
            ..money(amount.negated(), format!("invoice {invoice} is void: {}", text("cause")))
        }],
        "Settled" if text("state") == "RefundDue" => {
            vec![money(amount, format!("payment of the void invoice {invoice}"))]
        }
        "Refunded" => page
            .invoices
            .get(invoice)
            .map(|known| Charge {
                is_correction: true,
                money: Some((known.amount.negated(), known.currency.clone())),
                ..base("Purchase", format!("refund of invoice {invoice}"), "Invoice".to_owned())
            })
            .into_iter()
            .collect(),
        "Purchased" => {
            let sku = format!("Pack/{}", text("pack"));
            vec![Charge {
                credits: amount,
                ..base("Purchase", format!("credits of {}", text("object")), sku)
            }]
        }
        "Adjusted" => {
            let description = format!("{}: {}", text("object"), text("reason"));
            vec![Charge { credits: amount, ..base("Adjustment", description, "Adjustment".to_owned()) }]
        }
        _ => Vec::new(),
    }
}

fn of_usage<'a>(
    base: impl Fn(&'static str, String, String) -> Charge<'a>,
    usage: &'a UsageRecord,
) -> Charge<'a> {
    let UsageRecord { node_type, operation, credits, .. } = usage;
    let description = format!("{operation} of {node_type}");
    Charge {
        usage: Some(usage),
        frequency: "Usage-Based",
        credits: *credits,
        ..base("Usage", description, format!("{node_type}/{operation}"))
    }
}

impl Charge<'_> {
    /// Returns the cost in the currency of the row.
    fn cost(&self) -> Credits {
        match &self.money {
            Some((amount, _)) => *amount,
            None if self.category == "Usage" => self.credits,
            // Granted credits cost nothing: their invoice, if any, has its own row.
            None => Credits::ZERO,
        }
    }

    /// Returns the value of a column. Columns that do not apply are empty.
    fn field(&self, column: &str) -> String {
        let subscription = self.account.subscription();
        match column {
            "BilledCost" => {
                decimal(&self.money.as_ref().map_or(Credits::ZERO, |(amount, _)| *amount).to_string())
            }
            // Money buys credits, whose use is the effective cost.
            "EffectiveCost" if self.money.is_some() => decimal("0"),
            "ListCost" | "ContractedCost" | "EffectiveCost" => decimal(&self.cost().to_string()),
            "BillingAccountId" | "BillingAccountName" => subscription,
            "SubAccountId" => format!("{subscription}/{}", self.account.account),
            "SubAccountName" => self.account.to_string(),
            "BillingCurrency" => {
                self.money.as_ref().map_or(NO_CURRENCY.to_owned(), |(_, currency)| currency.clone())
            }
            "BillingPeriodStart" => date_time(month(self.entry.time, 0)),
            "BillingPeriodEnd" => date_time(month(self.entry.time, 1)),
            "ChargeCategory" | "ChargeType" => self.category.to_owned(),
            "ChargeClass" if self.is_correction => "Correction".to_owned(),
            "ChargeDescription" => self.description.clone(),
            "ChargeFrequency" => self.frequency.to_owned(),
            "ChargePeriodStart" => date_time(self.period().0),
            "ChargePeriodEnd" => date_time(self.period().1),
            "InvoiceIssuer" | "InvoiceIssuerName" | "Provider" | "ProviderName" | "Publisher"
            | "PublisherName" => PROVIDER.to_owned(),
            "PricingCategory" => "Standard".to_owned(),
            "ServiceCategory" => "Other".to_owned(),
            "ServiceName" => self.usage.map_or("Credits".to_owned(), |usage| usage.node_type.clone()),
            "SkuId" | "SkuPriceId" => self.sku.clone(),
            "BillingAccountType" => "Subscription".to_owned(),
            "SubAccountType" => "CreditLedger".to_owned(),
            "ServiceSubcategory" => "Other (Other)".to_owned(),
            "InvoiceId" if self.money.is_some() => self.detail("invoice"),
            "x_Credits" => decimal(&self.credits.to_string()),
            "x_EntryKind" => self.entry.kind.clone(),
            "x_EntryNumber" => self.entry.number.to_string(),
            _ => self.pricing_field(column),
        }
    }

    /// Returns the value of a column about prices and usage.
    fn pricing_field(&self, column: &str) -> String {
        let is_in_credits = self.money.is_none();
        match (column, self.usage) {
            ("ConsumedQuantity" | "PricingQuantity", Some(usage)) => decimal(&usage.quantity.to_string()),
            // The quantity of an entry without usage rows, and of a grant, is its credits.
            ("PricingQuantity", None) if is_in_credits => decimal(&self.credits.to_string()),
            ("PricingQuantity", None) => decimal("1"),
            ("ConsumedQuantity", None) if self.category == "Usage" => decimal(&self.credits.to_string()),
            ("ConsumedUnit" | "PricingUnit" | "SkuMeter", Some(usage)) => usage.operation.clone(),
            ("ConsumedUnit", None) if self.category == "Usage" => "Credits".to_owned(),
            ("PricingUnit", None) | ("PricingCurrency", _) if is_in_credits => "Credits".to_owned(),
            ("PricingUnit", None) => "Invoices".to_owned(),
            ("PricingCurrency", _) => self.field("BillingCurrency"),
            ("PricingCurrencyEffectiveCost", _) => self.field("EffectiveCost"),
            ("Tags", Some(usage)) => usage
                .labels
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect::<Value>()
                .to_string(),
            ("Tags", None) => "{}".to_owned(),
            ("x_Report", Some(usage)) => usage.report.clone(),
            ("x_Source", Some(usage)) => usage.source.clone(),
            ("x_Source", None) => self.detail("source"),
            _ => String::new(),
        }
    }

    fn detail(&self, key: &str) -> String {
        self.entry.detail.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Returns start and end of the charge: the window of usage, or the second of any other entry.
    fn period(&self) -> (Timestamp, Timestamp) {
        if let Some(usage) = self.usage {
            return (usage.window.start_time, usage.window.end_time);
        }
        (self.entry.time, self.entry.time.checked_add(1.second()).unwrap_or(Timestamp::MAX))
    }
}

/// Returns a decimal with a fractional part. Readers that infer types would take a column of whole numbers for
/// integers.
fn decimal(text: &str) -> String {
    if text.contains('.') { text.to_owned() } else { format!("{text}.0") }
}

/// Returns a time in whole seconds, such as `2026-03-01T00:00:00Z`.
fn date_time(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Returns the start of the calendar month (UTC) that is `later` months after the month of `time`.
fn month(time: Timestamp, later: i64) -> Timestamp {
    let date: Date = time.to_zoned(TimeZone::UTC).date().first_of_month();
    let start = date.checked_add(later.months()).unwrap_or(Date::MAX).to_zoned(TimeZone::UTC);
    start.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}
