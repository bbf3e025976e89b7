//! Reads a catalog file to the domain's [`Catalog`]. One pass finds all mistakes, each with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{
    Catalog, GatePolicy, Offer, Pack, PackLimit, PackLimitScope, PackPurchases, PaymentMode, PaymentPolicy,
    Plan, Policies, Rate, ReportPolicy,
};
use node::{Node, Position};
use reader::{Entry, Fields, Reader};

use crate::text_file::{self, TextFileError};

mod bounds;
mod node;
mod reader;
mod schema;
#[cfg(test)]
mod tests;

/// The text of the catalog that is built in.
pub const SHIPPED: &str = include_str!("catalog/shipped.yaml");

/// Why a catalog could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file could not be read.
    #[error("cannot read the catalog {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: TextFileError,
    },
    /// The file is not a valid catalog.
    #[error(transparent)]
    Refused(#[from] CatalogErrors),
}

/// All mistakes of a catalog file, in the order of the file.
///
/// Displays one line each: `file:line:column: path: problem; required value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogErrors {
    file: String,
    problems: Vec<Problem>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    position: Position,
    /// The path of the node, such as `plans[2].lapsesTo`. Empty for the whole file.
    path: String,
    message: String,
}

/// Returns the catalog that is built in.
///
/// # Panics
/// Never: its text is part of the binary, and a test checks that it is valid.
#[must_use]
pub fn shipped() -> Catalog {
    parse(SHIPPED, "shipped.yaml").expect("the shipped catalog is valid")
}

/// Returns the catalog in the file at `path`, or the built-in one without a path.
///
/// # Errors
/// When the file cannot be read or is not a valid catalog.
pub fn load_or_shipped(path: Option<&Path>) -> Result<Catalog, CatalogError> {
    path.map_or_else(|| Ok(shipped()), load)
}

/// Returns the catalog in the file at `path`.
///
/// # Errors
/// When the file cannot be read or is not a valid catalog.
pub fn load(path: &Path) -> Result<Catalog, CatalogError> {
    let text =
        text_file::read(path).map_err(|source| CatalogError::Read { path: path.to_owned(), source })?;
    Ok(parse(&text, &path.to_string_lossy())?)
}

/// Returns the catalog in `text`. `file` is its name in messages.
///
/// # Guarantees
/// All references resolve, names and rates are unique, and every number is within its bounds.
///
/// # Errors
/// When `text` is not a valid catalog. The error has all mistakes, or the first one if `text` is not YAML.
pub fn parse(text: &str, file: &str) -> Result<Catalog, CatalogErrors> {
    let refused = |mut problems: Vec<Problem>| {
        problems.sort_by_key(|problem| problem.position);
        CatalogErrors { file: file.to_owned(), problems }
    };
    let root = node::parse(text).map_err(|problem| refused(vec![problem]))?;
    let mut reader = Reader::default();
    let catalog = read(&mut reader, &root);
    if reader.problems.is_empty() { Ok(catalog) } else { Err(refused(reader.problems)) }
}

/// Returns the JSON Schema of a catalog file as text, for editors.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", schema::generate())
}

fn read(reader: &mut Reader, root: &Node) -> Catalog {
    reader.mapping(&Entry { path: String::new(), node: root }, |fields| Catalog {
        currency: fields.required("currency", Reader::currency),
        rates: fields.optional("rates", rates).unwrap_or_default(),
        plans: fields.required("plans", plans),
        packs: fields.optional("packs", packs).unwrap_or_default(),
        policies: fields.optional("policies", policies).unwrap_or_default(),
    })
}

fn rates(reader: &mut Reader, entry: &Entry) -> Vec<Rate> {
    let rates = reader.list(entry, |reader, entry| reader.mapping(entry, rate));
    refuse_too_many(reader, entry, rates.len(), "rates");
    refuse_repeats(reader, &rates, |Rate { node_type, operation, .. }| {
        (!node_type.is_empty() && !operation.is_empty()).then(|| format!("{operation} on {node_type}"))
    });
    rates.into_iter().map(|(_, rate)| rate).collect()
}

fn rate(fields: &mut Fields) -> Rate {
    Rate {
        node_type: fields.required("nodeType", Reader::word),
        operation: fields.required("operation", Reader::word),
        unit: fields.required("unit", Reader::unit),
        credits: fields.required("credits", Reader::amount),
    }
}

fn plans(reader: &mut Reader, entry: &Entry) -> Vec<Plan> {
    let known = reader.problems.len();
    let plans = reader.list(entry, plan);
    if plans.is_empty() && reader.problems.len() == known {
        reader.refuse(entry, "no plan is given; must be at least one");
    }
    refuse_too_many(reader, entry, plans.len(), "plans");
    refuse_repeats(reader, &plans, |(plan, _)| quoted(&plan.name));
    let all: Vec<&Plan> = plans.iter().map(|(_, (plan, _))| plan).collect();
    for (_, (plan, lapses_to)) in &plans {
        if let (Some(target), Some(entry)) = (&plan.lapses_to, lapses_to) {
            refuse_lapse(reader, entry, plan, target, all.iter().copied());
            refuse_cycle(reader, entry, plan, &all);
        }
    }
    plans.into_iter().map(|(_, (plan, _))| plan).collect()
}

/// Reads a plan, and the entry of its `lapsesTo`.
fn plan<'file>(reader: &mut Reader, entry: &Entry<'file>) -> (Plan, Option<Entry<'file>>) {
    let purchases = [("Allowed", PackPurchases::Allowed), ("Refused", PackPurchases::Refused)];
    let known = reader.problems.len();
    let (plan, lapses_to) = reader.mapping(entry, |fields| {
        let name = fields.required("name", Reader::name);
        let display_name =
            fields.optional("displayName", Reader::display_name).unwrap_or_else(|| name.clone());
        let pack_purchases = fields.choice("packPurchases", &purchases, PackPurchases::Refused);
        let (lapses_to, lapses_to_entry) =
            fields.optional("lapsesTo", |reader, entry| (reader.name(entry), entry.clone())).unzip();
        let overdraft = fields.optional("overdraft", Reader::amount).unwrap_or(Credits::ZERO);
        let (monthly, yearly) = (fields.optional("monthly", offer), fields.optional("yearly", offer));
        (Plan { name, display_name, pack_purchases, lapses_to, overdraft, monthly, yearly }, lapses_to_entry)
    });
    if plan.monthly.is_none() && plan.yearly.is_none() && reader.problems.len() == known {
        reader.refuse(entry, "neither monthly nor yearly is given; must be offered for at least one of them");
    }
    (plan, lapses_to)
}

fn offer(reader: &mut Reader, entry: &Entry) -> Offer {
    reader.mapping(entry, |fields| Offer {
        credits: fields.required("credits", Reader::amount),
        price: fields.optional("price", Reader::amount).unwrap_or(Credits::ZERO),
    })
}

/// Refuses a `target` that `plan` cannot lapse to. The target must be another plan that is offered monthly (Law
/// 16).
fn refuse_lapse<'plan>(
    reader: &mut Reader,
    entry: &Entry,
    plan: &Plan,
    target: &str,
    plans: impl Iterator<Item = &'plan Plan> + Clone,
) {
    let fits = |other: &&Plan| other.name != plan.name && other.monthly.is_some();
    if plans.clone().filter(fits).any(|other| other.name == target) {
        return;
    }
    let wrong = if plan.name == target {
        "is this plan itself"
    } else if plans.clone().any(|other| other.name == target) {
        "is not offered monthly, as a plan lapsed into is"
    } else {
        "is not a plan of this catalog"
    };
    let fitting: Vec<&str> = plans.filter(fits).map(|other| other.name.as_str()).collect();
    let remedy = if fitting.is_empty() {
        "must be left out, as no other plan is offered monthly".to_owned()
    } else {
        format!("must be one of {}", fitting.join(", "))
    };
    reader.refuse(entry, format!("'{target}' {wrong}; {remedy}"));
}

/// Refuses a `lapsesTo` chain of priced plans that leads back to `plan`. An account that does not pay would get
/// invoices without end (Law 16).
fn refuse_cycle(reader: &mut Reader, entry: &Entry, plan: &Plan, plans: &[&Plan]) {
    let lapsed_into = |from: &Plan| {
        let target = from.lapses_to.as_deref()?;
        let priced = |other: &&Plan| other.monthly.is_some_and(|offer| !offer.price.is_zero());
        plans.iter().copied().find(|other| other.name == target).filter(priced)
    };
    let mut way = vec![plan.name.as_str()];
    let mut next = lapsed_into(plan);
    while let Some(reached) = next {
        let is_back = reached.name == plan.name;
        let is_long = way.len() > 1 && way.contains(&reached.name.as_str());
        way.push(&reached.name);
        if is_back && way.len() > 2 {
            let message = format!(
                "{} is a cycle of plans with a price; must lead to a plan that is free monthly, or be left out",
                way.join(" -> ")
            );
            return reader.refuse(entry, message);
        }
        if is_back || is_long {
            return; // Refused elsewhere: as a plan that lapses to itself, or at the plans of the cycle.
        }
        next = lapsed_into(reached);
    }
}

fn packs(reader: &mut Reader, entry: &Entry) -> Vec<Pack> {
    let packs = reader.list(entry, |reader, entry| reader.mapping(entry, pack));
    refuse_too_many(reader, entry, packs.len(), "packs");
    refuse_repeats(reader, &packs, |pack| quoted(&pack.name));
    packs.into_iter().map(|(_, pack)| pack).collect()
}

fn pack(fields: &mut Fields) -> Pack {
    let name = fields.required("name", Reader::name);
    Pack {
        display_name: fields.optional("displayName", Reader::display_name).unwrap_or_else(|| name.clone()),
        name,
        credits: fields.required("credits", Reader::amount_above_zero),
        price: fields.optional("price", Reader::amount).unwrap_or(Credits::ZERO),
        expires_after_days: fields
            .optional("expiresAfterDays", |reader, entry| reader.whole(entry, &bounds::EXPIRES_AFTER_DAYS)),
    }
}

fn policies(reader: &mut Reader, entry: &Entry) -> Policies {
    let Policies {
        pack_limit,
        settlement_grace_seconds,
        accept_usage_for_seconds,
        accept_ahead_seconds,
        payments,
        checkout_url,
        reports,
        alert_thresholds_percent,
        gate,
    } = Policies::default();
    let scopes = [("AllPacks", PackLimitScope::AllPacks), ("PerPack", PackLimitScope::PerPack)];
    let modes = [("Internal", PaymentMode::Internal), ("External", PaymentMode::External)];
    reader.mapping(entry, |fields| {
        let pack_limit = fields.mapping("packLimit", pack_limit, |fields| PackLimit {
            max: fields.whole("max", &bounds::PACK_LIMIT, pack_limit.max),
            scope: fields.choice("scope", &scopes, pack_limit.scope),
        });
        let settlement_grace_seconds = fields.whole(
            "settlementGraceSeconds",
            &bounds::SETTLEMENT_GRACE_SECONDS,
            settlement_grace_seconds,
        );
        let accept_usage_for_seconds = fields.mapping("lateUsage", accept_usage_for_seconds, |fields| {
            fields.whole("acceptForSeconds", &bounds::ACCEPT_FOR_SECONDS, accept_usage_for_seconds)
        });
        let (payments, checkout_url) = fields.mapping("payments", (payments, checkout_url), |fields| {
            let mode = fields.choice("mode", &modes, payments.mode);
            let due_within_seconds =
                fields.whole("dueWithinSeconds", &bounds::DUE_WITHIN_SECONDS, payments.due_within_seconds);
            let checkout_url = fields.optional("checkoutURL", Reader::checkout_url);
            (PaymentPolicy { mode, due_within_seconds }, checkout_url)
        });
        let (reports, accept_ahead_seconds) =
            fields.mapping("reports", (reports, accept_ahead_seconds), |fields| {
                let ReportPolicy { keep_for_seconds, max_credits } = reports;
                let keep_for_seconds =
                    fields.whole("keepForSeconds", &bounds::KEEP_FOR_SECONDS, keep_for_seconds);
                let accept_ahead_seconds =
                    fields.whole("acceptAheadSeconds", &bounds::ACCEPT_AHEAD_SECONDS, accept_ahead_seconds);
                let max_credits =
                    fields.optional("maxCredits", Reader::amount_above_zero).unwrap_or(max_credits);
                (ReportPolicy { keep_for_seconds, max_credits }, accept_ahead_seconds)
            });
        let gate = fields.mapping("gate", gate, |fields| GatePolicy {
            grace_seconds: fields.whole("graceSeconds", &bounds::GRACE_SECONDS, gate.grace_seconds),
            cache_seconds: fields.whole("cacheSeconds", &bounds::CACHE_SECONDS, gate.cache_seconds),
        });
        Policies {
            pack_limit,
            settlement_grace_seconds,
            accept_usage_for_seconds,
            accept_ahead_seconds,
            payments,
            checkout_url,
            reports,
            alert_thresholds_percent: fields
                .optional("alertThresholdsPercent", thresholds)
                .unwrap_or(alert_thresholds_percent),
            gate,
        }
    })
}

fn thresholds(reader: &mut Reader, entry: &Entry) -> Vec<u32> {
    let thresholds =
        reader.list(entry, |reader, entry| reader.whole(entry, &bounds::ALERT_THRESHOLD_PERCENT));
    if thresholds.len() > bounds::ALERT_THRESHOLDS {
        let most = bounds::ALERT_THRESHOLDS;
        reader.refuse(entry, format!("{} thresholds are given; must be at most {most}", thresholds.len()));
    }
    for pair in thresholds.windows(2) {
        if let [(_, before), (entry, threshold)] = pair
            && threshold <= before
        {
            reader.refuse(entry, format!("{threshold} follows {before}; must be ascending, each given once"));
        }
    }
    thresholds.into_iter().map(|(_, threshold)| threshold).collect()
}

/// Refuses a list that is longer than an account's ledger has room for (Law 26).
fn refuse_too_many(reader: &mut Reader, entry: &Entry, count: usize, what: &str) {
    let most = bounds::ITEMS;
    if count > most {
        reader.refuse(entry, format!("{count} {what} are given; must be at most {most}"));
    }
}

/// Refuses every entry with the name of an earlier one. Entries without a name are already refused.
fn refuse_repeats<T>(reader: &mut Reader, entries: &[(Entry, T)], called: impl Fn(&T) -> Option<String>) {
    let mut first_lines = BTreeMap::new();
    for (entry, item) in entries {
        let Some(name) = called(item) else { continue };
        if let Some(line) = first_lines.get(&name) {
            reader.refuse(entry, format!("{name} is already given on line {line}; must be given once"));
        } else {
            first_lines.insert(name, entry.node.position.line);
        }
    }
}

fn quoted(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| format!("'{name}'"))
}

impl Problem {
    fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, path: String::new(), message: message.into() }
    }
}

impl fmt::Display for CatalogErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { position, path, message }) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let colon = if path.is_empty() { "" } else { ": " };
            write!(formatter, "{separator}{}:{position}: {path}{colon}{message}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for CatalogErrors {}
