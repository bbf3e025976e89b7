//! The shape of a catalog file, from which its JSON Schema is generated.
//!
//! The reader builds the domain's catalog without serde, because it must report all mistakes with their lines.
//! Tests check that reader and schema have the same fields, words and bounds.
#![expect(dead_code, reason = "the fields are read by the derived schema alone")]

use flashgate_ledger::catalog::{MAX_REPORT_CREDITS, Policies as Defaults};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::bounds;

const CURRENCY: &str = "^[A-Z]{3}$";
const NAME: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
const WORD: &str = "^[A-Z][A-Za-z0-9]{0,62}$";
// Written so that validators of every language read it: Helm's has no `\u`.
const DISPLAY_NAME: &str = r"^[^\x00-\x1f\x7f-\x9f]+$";
const CHECKOUT_URL: &str = r"^https?://[!-~]*\{invoice\}[!-~]*$";
const AMOUNT: &str = r"^(1000000000000(\.0{1,9})?|[0-9]{1,12}(\.[0-9]{1,9})?)$";
const QUANTITY: &str = r"^\+?([0-9]{1,16}(\.[0-9]{0,9})?|\.[0-9]{1,9})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE](\+?[0-9]{1,2}|-[0-9]))?$";

/// The catalog of flashgate-billing: rates, plans, packs and policies.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Catalog {
    /// Currency of all prices: three capital letters.
    #[schemars(regex(pattern = CURRENCY), extend("examples" = ["USD"]))]
    currency: String,
    /// Credits per unit of usage, one rate for each pair of nodeType and operation. Usage without a rate is refused.
    #[schemars(length(max = bounds::ITEMS), extend("default" = []))]
    rates: Option<Vec<Rate>>,
    /// Plans in rank order, lowest first: a change to a later one is an upgrade.
    #[schemars(length(min = 1, max = bounds::ITEMS))]
    plans: Vec<Plan>,
    /// Top-ups that can be bought.
    #[schemars(length(max = bounds::ITEMS), extend("default" = []))]
    packs: Option<Vec<Pack>>,
    /// Rules with a number; every one has a default.
    policies: Option<Policies>,
}

/// Credits for one unit of an operation on a node type.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Rate {
    /// Node type as usage reports state it.
    #[schemars(regex(pattern = WORD), extend("examples" = ["Public", "Private"]))]
    node_type: String,
    /// Operation as usage reports state it.
    #[schemars(regex(pattern = WORD), extend("examples" = ["StorageEgress", "TokensOut"]))]
    operation: String,
    /// Quantity that costs `credits`, in the Kubernetes quantity grammar: above zero, at most 1P. Quote plain numbers.
    #[schemars(regex(pattern = QUANTITY), extend("examples" = ["1G", "1"]))]
    unit: String,
    /// Credits per unit: a quoted decimal from "0" to "1000000000000" with at most 9 fractional digits.
    #[schemars(regex(pattern = AMOUNT), extend("examples" = ["0.00005"]))]
    credits: String,
}

/// A plan that an organization subscribes to. At least one of monthly and yearly must be offered.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("anyOf" = [{"required": ["monthly"]}, {"required": ["yearly"]}])
)]
struct Plan {
    /// Name that a Subscription asks for: at most 63 lower-case letters, digits and '-'.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// Display name. Default: the name.
    #[schemars(regex(pattern = DISPLAY_NAME), length(max = bounds::DISPLAY_NAME_LENGTH))]
    display_name: Option<String>,
    /// Whether packs may be bought under this plan.
    #[schemars(extend("default" = "Refused"))]
    pack_purchases: Option<PackPurchases>,
    /// Plan that follows when this one ends without renewal or payment: another one, offered monthly. Default: none.
    /// The chain of `lapsesTo` must end at a plan that is free monthly, or at one without `lapsesTo`.
    #[schemars(regex(pattern = NAME))]
    lapses_to: Option<String>,
    /// Credits by which the balance can fall below zero until the credits count as exhausted: a quoted decimal. It changes
    /// no charge. Gates let an account through until its balance is at most zero minus the overdraft.
    #[schemars(regex(pattern = AMOUNT), extend("default" = "0"))]
    overdraft: Option<String>,
    /// Credits and price of a month. When absent, the plan is not offered monthly.
    monthly: Option<Offer>,
    /// Credits and price of a year. When absent, the plan is not offered yearly.
    yearly: Option<Offer>,
}

/// Whether packs may be bought under a plan.
#[derive(JsonSchema)]
enum PackPurchases {
    /// They may, in a paid period.
    Allowed,
    /// They may not.
    Refused,
}

/// Credits and price of one period.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Offer {
    /// Credits of the whole period, granted at its start: a quoted decimal.
    #[schemars(regex(pattern = AMOUNT))]
    credits: String,
    /// Price of the whole period in the catalog's currency: a quoted decimal; "0" is free.
    #[schemars(regex(pattern = AMOUNT), extend("default" = "0"))]
    price: Option<String>,
}

/// A top-up that can be bought.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Pack {
    /// Name that a CreditPack asks for: at most 63 lower-case letters, digits and '-'.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// Display name. Default: the name.
    #[schemars(regex(pattern = DISPLAY_NAME), length(max = bounds::DISPLAY_NAME_LENGTH))]
    display_name: Option<String>,
    /// Credits it gives: a quoted decimal above zero.
    #[schemars(regex(pattern = AMOUNT))]
    credits: String,
    /// Price in the catalog's currency: a quoted decimal; "0" is free.
    #[schemars(regex(pattern = AMOUNT), extend("default" = "0"))]
    price: Option<String>,
    /// Days of 24 hours after which its credits expire; never, when absent.
    #[schemars(range(min = *bounds::EXPIRES_AFTER_DAYS.start(), max = *bounds::EXPIRES_AFTER_DAYS.end()))]
    expires_after_days: Option<u32>,
}

/// Rules with a number.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Policies {
    /// Limit of the packs that an account may buy a month, counted from its start.
    pack_limit: Option<PackLimit>,
    /// Seconds after an expiration in which usage from before it may still consume the expired credits.
    #[schemars(
        range(min = *bounds::SETTLEMENT_GRACE_SECONDS.start(), max = *bounds::SETTLEMENT_GRACE_SECONDS.end()),
        extend("default" = Defaults::default().settlement_grace_seconds)
    )]
    settlement_grace_seconds: Option<u32>,
    /// Acceptance of late usage.
    late_usage: Option<LateUsage>,
    /// Settlement of invoices.
    payments: Option<Payments>,
    /// Retention and limits of usage reports.
    reports: Option<Reports>,
    /// Shares of a period's credits, in percent, ascending. Crossing one publishes an Event.
    #[schemars(
        length(max = bounds::ALERT_THRESHOLDS),
        inner(range(min = *bounds::ALERT_THRESHOLD_PERCENT.start(), max = *bounds::ALERT_THRESHOLD_PERCENT.end())),
        extend("uniqueItems" = true, "default" = Defaults::default().alert_thresholds_percent)
    )]
    alert_thresholds_percent: Option<Vec<u32>>,
    /// When gates stop an account.
    gate: Option<Gate>,
}

/// When gates stop an account.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Gate {
    /// Seconds after the exhaustion of the credits until gates close.
    #[schemars(
        range(min = *bounds::GRACE_SECONDS.start(), max = *bounds::GRACE_SECONDS.end()),
        extend("default" = Defaults::default().gate.grace_seconds)
    )]
    grace_seconds: Option<u32>,
    /// Seconds for which your proxies keep an answer of the gate. They count towards `status.gate.worstOvershoot`.
    #[schemars(
        range(min = *bounds::CACHE_SECONDS.start(), max = *bounds::CACHE_SECONDS.end()),
        extend("default" = Defaults::default().gate.cache_seconds)
    )]
    cache_seconds: Option<u32>,
}

/// Limit of the packs that an account may buy a month.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct PackLimit {
    /// The most; 0 refuses all.
    #[schemars(
        range(min = *bounds::PACK_LIMIT.start(), max = *bounds::PACK_LIMIT.end()),
        extend("default" = Defaults::default().pack_limit.max)
    )]
    max: Option<u32>,
    /// Scope of the limit.
    #[schemars(extend("default" = "AllPacks"))]
    scope: Option<PackLimitScope>,
}

/// Scope of the pack limit.
#[derive(JsonSchema)]
enum PackLimitScope {
    /// All packs together.
    AllPacks,
    /// Each pack by itself.
    PerPack,
}

/// Acceptance of late usage.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct LateUsage {
    /// Seconds after its window's start in which a report is accepted.
    #[schemars(
        range(min = *bounds::ACCEPT_FOR_SECONDS.start(), max = *bounds::ACCEPT_FOR_SECONDS.end()),
        extend("default" = Defaults::default().accept_usage_for_seconds)
    )]
    accept_for_seconds: Option<u32>,
}

/// Settlement of invoices.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Payments {
    /// Mode of payment: how invoices are settled.
    #[schemars(extend("default" = "Internal"))]
    mode: Option<PaymentMode>,
    /// Seconds after which an open invoice is overdue: less than 28 days, the shortest period.
    #[schemars(
        range(min = *bounds::DUE_WITHIN_SECONDS.start(), max = *bounds::DUE_WITHIN_SECONDS.end()),
        extend("default" = Defaults::default().payments.due_within_seconds)
    )]
    due_within_seconds: Option<u32>,
    /// URL of the page on which an open invoice is paid, with {invoice} for its number. The HTTP API shows it to
    /// customers in the mode External. Default: none.
    #[schemars(rename = "checkoutURL", regex(pattern = CHECKOUT_URL), length(max = bounds::CHECKOUT_URL_LENGTH))]
    checkout_url: Option<String>,
}

/// Mode of payment: how invoices are settled.
#[derive(JsonSchema)]
enum PaymentMode {
    /// Each invoice is settled when it is issued: showback and chargeback.
    Internal,
    /// A payment agent reports each settlement; until then the invoice stays open, and its effect is pending.
    External,
}

/// Retention and limits of usage reports.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Reports {
    /// Seconds for which a report is kept after its verdict; 0 deletes it at once.
    #[schemars(
        range(min = *bounds::KEEP_FOR_SECONDS.start(), max = *bounds::KEEP_FOR_SECONDS.end()),
        extend("default" = Defaults::default().reports.keep_for_seconds)
    )]
    keep_for_seconds: Option<u32>,
    /// Seconds after the creation of a report by which its window must end; later is refused as `TooEarly`.
    #[schemars(
        range(min = *bounds::ACCEPT_AHEAD_SECONDS.start(), max = *bounds::ACCEPT_AHEAD_SECONDS.end()),
        extend("default" = Defaults::default().accept_ahead_seconds)
    )]
    accept_ahead_seconds: Option<u32>,
    /// Most credits that one report may cost: a quoted decimal above zero. More is refused as `TooLarge`, so that a
    /// wrong unit costs no account its credits.
    #[schemars(regex(pattern = AMOUNT), extend("default" = MAX_REPORT_CREDITS.to_string()))]
    max_credits: Option<String>,
}

/// Returns the JSON Schema of a catalog file.
pub(super) fn generate() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(refuse_null))
        .into_generator()
        .into_root_schema_for::<Catalog>();
    schema.insert("title".to_owned(), json!("Catalog of flashgate-billing"));
    schema.to_value()
}

/// Makes an optional field one that may be left out, but not null: an empty field is a mistake more often than not.
fn refuse_null(schema: &mut Schema) {
    schema.remove("format"); // uint32 says less than minimum and maximum
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    let alternatives = schema.get_mut("anyOf").and_then(Value::as_array_mut);
    if let Some(alternatives) = alternatives
        && let [Value::Object(wanted), null] = alternatives.as_slice()
        && *null == json!({"type": "null"})
    {
        let wanted = wanted.clone();
        schema.remove("anyOf");
        for (key, value) in wanted {
            schema.insert(key, value);
        }
    }
}
