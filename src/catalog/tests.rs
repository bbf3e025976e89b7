use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A catalog with every field. Each bad catalog below differs from it in one place.
const GOOD: &str = r#"currency: USD
rates:
- {nodeType: Public, operation: TokensOut, unit: "1", credits: "0.001"}
- {nodeType: Private, operation: TokensOut, unit: 1k, credits: "0"}
plans:
- name: free
  monthly: {credits: "40"}
- name: team
  displayName: Team
  packPurchases: Allowed
  lapsesTo: free
  overdraft: "25.5"
  monthly: {credits: "1100", price: "100"}
  yearly: {credits: "15000", price: "1000"}
packs:
- {name: plus, displayName: Plus, credits: "100", price: "20", expiresAfterDays: 90}
policies:
  packLimit: {max: 3, scope: PerPack}
  settlementGraceSeconds: 7200
  lateUsage: {acceptForSeconds: 600}
  payments: {mode: External, dueWithinSeconds: 6000}
  reports: {keepForSeconds: 60, acceptAheadSeconds: 3600, maxCredits: "5000"}
  alertThresholdsPercent: [50, 90]
  gate: {graceSeconds: 900, cacheSeconds: 5}
"#;

/// The checks that can find a mistake in a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FoundBy {
    /// The JSON Schema and the reader, so an editor shows it too.
    BySchema,
    /// Only the reader, because a schema cannot compare fields with each other or numbers in text.
    ByReader,
}
use FoundBy::{ByReader, BySchema};

/// A text of [`GOOD`], its replacement, the message, and the checks that find it.
const BAD: &[(&str, &str, &str, FoundBy)] = &[
    (
        "overdraft: \"25.5\"",
        "overdraft: \"-1\"",
        "12:14: plans[1].overdraft: '-1' is negative; must be a quoted decimal from \"0\" to \"1000000000000\" with at most 9 fractional digits, such as \"0.001\"",
        BySchema,
    ),
    (
        "graceSeconds: 900",
        "graceSeconds: 10000001",
        "24:24: policies.gate.graceSeconds: 10000001 is refused; must be a whole number from 0 to 10000000",
        BySchema,
    ),
    (
        "cacheSeconds: 5",
        "cacheSeconds: 86401",
        "24:43: policies.gate.cacheSeconds: 86401 is refused; must be a whole number from 0 to 86400",
        BySchema,
    ),
    (
        "maxCredits: \"5000\"",
        "maxCredits: \"0\"",
        "22:71: policies.reports.maxCredits: '0' is zero; must be above zero",
        ByReader,
    ),
    (
        "maxCredits: \"5000\"",
        "maxCredits: 5000",
        "22:71: policies.reports.maxCredits: 5000 is not text to YAML; must be quoted: \"5000\"",
        BySchema,
    ),
    (
        "acceptForSeconds: 600",
        "acceptForSeconds: 0600",
        "20:33: policies.lateUsage.acceptForSeconds: 0600 begins with 0, which many tools read as octal; must be 600",
        BySchema,
    ),
    ("USD", "usd", "1:11: currency: 'usd' is refused; must be three capital letters, such as USD", BySchema),
    ("currency: USD\n", "", "1:1: 'currency' is missing; must be given", BySchema),
    (
        "USD\n",
        "USD\nowner: me\n",
        "2:1: unknown field 'owner'; must be one of currency, rates, plans, packs, policies",
        BySchema,
    ),
    ("USD\n", "USD\ncurrency: EUR\n", "2:1: 'currency' is given twice; must be given once", ByReader),
    (
        "nodeType: Public",
        "nodeType: public",
        "3:14: rates[0].nodeType: 'public' is refused; must be 1 to 63 letters and digits, starting with a capital letter, such as StorageEgress",
        BySchema,
    ),
    (
        "operation: TokensOut, unit: 1k",
        "operation: Tokens-Out, unit: 1k",
        "4:34: rates[1].operation: 'Tokens-Out' is refused; must be 1 to 63 letters and digits, starting with a capital letter, such as StorageEgress",
        BySchema,
    ),
    (
        "Private",
        "Public",
        "4:3: rates[1]: TokensOut on Public is already given on line 3; must be given once",
        ByReader,
    ),
    (
        "operation: TokensOut, unit: 1k, ",
        "unit: 1k, ",
        "4:3: rates[1]: 'operation' is missing; must be given",
        BySchema,
    ),
    (
        r#"unit: "1""#,
        "unit: 1",
        r#"3:50: rates[0].unit: 1 is not text to YAML; must be quoted: "1""#,
        BySchema,
    ),
    (
        "unit: 1k",
        "unit: 0k",
        r#"4:51: rates[1].unit: '0k' is zero; must be a quantity above zero and at most 1P (10^15), such as 1G or "1""#,
        ByReader,
    ),
    (
        "unit: 1k",
        "unit: -1k",
        r#"4:51: rates[1].unit: '-1k' is negative; must be a quantity above zero and at most 1P (10^15), such as 1G or "1""#,
        BySchema,
    ),
    (
        "unit: 1k",
        "unit: 1GB",
        r#"4:51: rates[1].unit: '1GB' is refused; must be a quantity above zero and at most 1P (10^15), such as 1G or "1""#,
        BySchema,
    ),
    (
        "unit: 1k",
        "unit: 2P",
        r#"4:51: rates[1].unit: '2P' is refused; must be a quantity above zero and at most 1P (10^15), such as 1G or "1""#,
        ByReader,
    ),
    (
        r#""0.001""#,
        "0.001",
        r#"3:64: rates[0].credits: 0.001 is not text to YAML; must be quoted: "0.001""#,
        BySchema,
    ),
    (
        r#""0.001""#,
        r#""-0.001""#,
        r#"3:64: rates[0].credits: '-0.001' is negative; must be a quoted decimal from "0" to "1000000000000" with at most 9 fractional digits, such as "0.001""#,
        BySchema,
    ),
    (
        r#""0.001""#,
        "-1",
        r#"3:64: rates[0].credits: -1 is negative; must be a quoted decimal from "0" to "1000000000000" with at most 9 fractional digits, such as "0.001""#,
        BySchema,
    ),
    (
        r#""0.001""#,
        r#""0.0000000001""#,
        r#"3:64: rates[0].credits: '0.0000000001' is refused; must be a quoted decimal from "0" to "1000000000000" with at most 9 fractional digits, such as "0.001""#,
        BySchema,
    ),
    (
        r#""0.001""#,
        r#""1000000000000.1""#,
        r#"3:64: rates[0].credits: '1000000000000.1' is refused; must be a quoted decimal from "0" to "1000000000000" with at most 9 fractional digits, such as "0.001""#,
        BySchema,
    ),
    (
        r#""0.001""#,
        "1e-3",
        r#"3:64: rates[0].credits: 1e-3 is refused; must be a quoted decimal from "0" to "1000000000000" with at most 9 fractional digits, such as "0.001""#,
        BySchema,
    ),
    (
        "name: team",
        "name: Team",
        "8:9: plans[1].name: 'Team' is refused; must be 1 to 63 lower-case letters, digits and '-', starting and ending with a letter or digit, such as organization-free",
        BySchema,
    ),
    (
        "name: team",
        "name: 2026",
        r#"8:9: plans[1].name: 2026 is not text to YAML; must be quoted: "2026""#,
        BySchema,
    ),
    (
        "plans:\n",
        "plans:\n- {name: free, yearly: {credits: '1'}}\n",
        "7:3: plans[1]: 'free' is already given on line 6; must be given once",
        ByReader,
    ),
    (
        "plans:\n",
        "plans:\n- {name: bare}\n",
        "6:3: plans[0]: neither monthly nor yearly is given; must be offered for at least one of them",
        BySchema,
    ),
    (
        "lapsesTo: free",
        "lapsesTo: gratis",
        "11:13: plans[1].lapsesTo: 'gratis' is not a plan of this catalog; must be one of free",
        ByReader,
    ),
    (
        "lapsesTo: free",
        "lapsesTo: team",
        "11:13: plans[1].lapsesTo: 'team' is this plan itself; must be one of free",
        ByReader,
    ),
    (
        r#"monthly: {credits: "40"}"#,
        r#"yearly: {credits: "40"}"#,
        "11:13: plans[1].lapsesTo: 'free' is not offered monthly, as a plan lapsed into is; must be left out, as no other plan is offered monthly",
        ByReader,
    ),
    (
        "lapsesTo: free",
        "lapseTo: free",
        "11:3: plans[1]: unknown field 'lapseTo'; must be one of name, displayName, packPurchases, lapsesTo, overdraft, monthly, yearly",
        BySchema,
    ),
    (
        "displayName: Team",
        "displayName: true",
        r#"9:16: plans[1].displayName: true is not text to YAML; must be quoted: "true""#,
        BySchema,
    ),
    (
        "displayName: Team",
        "displayName: \"Te\\nam\"",
        r"9:16: plans[1].displayName: 'Te\nam' is refused; must be 1 to 100 characters on one line",
        BySchema,
    ),
    (
        "displayName: Team",
        "displayName:",
        "9:14: plans[1].displayName: nothing is refused; must be 1 to 100 characters on one line",
        BySchema,
    ),
    (
        "Allowed",
        "Yes",
        "10:18: plans[1].packPurchases: 'Yes' is refused; must be Allowed or Refused",
        BySchema,
    ),
    (
        r#"{credits: "1100", price: "100"}"#,
        r#"{price: "100"}"#,
        "13:12: plans[1].monthly: 'credits' is missing; must be given",
        BySchema,
    ),
    (
        r#"{credits: "1100", price: "100"}"#,
        r#""1100""#,
        "13:12: plans[1].monthly: '1100' is refused; must be a mapping of credits, price",
        BySchema,
    ),
    (
        r#"{name: plus, displayName: Plus, credits: "100""#,
        r#"{name: plus, credits: "0.0""#,
        "16:25: packs[0].credits: '0.0' is zero; must be above zero",
        ByReader,
    ),
    (
        "expiresAfterDays: 90",
        "expiresAfterDays: 0",
        "16:82: packs[0].expiresAfterDays: 0 is refused; must be a whole number from 1 to 36500",
        BySchema,
    ),
    (
        "expiresAfterDays: 90",
        "expiresAfterDays: \"90\"",
        "16:82: packs[0].expiresAfterDays: '90' is text to YAML; must be a number without quotes: 90",
        BySchema,
    ),
    (
        "max: 3",
        "max: 3.5",
        "18:20: policies.packLimit.max: 3.5 is refused; must be a whole number from 0 to 1000",
        BySchema,
    ),
    (
        "PerPack",
        "perPack",
        "18:30: policies.packLimit.scope: 'perPack' is refused; must be AllPacks or PerPack",
        BySchema,
    ),
    (
        "acceptForSeconds: 600",
        "acceptForSeconds: 35d",
        "20:33: policies.lateUsage.acceptForSeconds: '35d' is refused; must be a whole number from 60 to 100000000",
        BySchema,
    ),
    (
        "{mode: External, dueWithinSeconds: 6000}",
        "[External]",
        "21:13: policies.payments: a list is refused; must be a mapping of mode, dueWithinSeconds, checkoutURL",
        BySchema,
    ),
    (
        "External",
        "Stripe",
        "21:20: policies.payments.mode: 'Stripe' is refused; must be Internal or External",
        BySchema,
    ),
    (
        "dueWithinSeconds: 6000",
        "dueWithinSeconds: 2419200",
        "21:48: policies.payments.dueWithinSeconds: 2419200 is refused; must be a whole number from 60 to 2419199",
        BySchema,
    ),
    (
        "[50, 90]",
        "[90, 50]",
        "23:32: policies.alertThresholdsPercent[1]: 50 follows 90; must be ascending, each given once",
        ByReader,
    ),
    (
        "[50, 90]",
        "[90, 90]",
        "23:32: policies.alertThresholdsPercent[1]: 90 follows 90; must be ascending, each given once",
        BySchema,
    ),
    (
        "[50, 90]",
        "[1,2,3,4,5,6,7,8,9,10,11]",
        "23:27: policies.alertThresholdsPercent: 11 thresholds are given; must be at most 10",
        BySchema,
    ),
    ("[50, 90]", "50", "23:27: policies.alertThresholdsPercent: 50 is refused; must be a list", BySchema),
];

fn parsed(text: &str) -> Catalog {
    parse(text, "catalog.yaml").expect("a valid catalog")
}

fn refused(text: &str) -> String {
    parse(text, "catalog.yaml").expect_err("an invalid catalog").to_string()
}

/// Returns [`GOOD`] with the only occurrence of `from` replaced.
fn good_but(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "'{from}' must occur once");
    GOOD.replace(from, to)
}

/// Returns whether the generated schema accepts `text`.
fn fits_the_schema(text: &str) -> bool {
    let validator = jsonschema::validator_for(&schema::generate()).expect("schema");
    serde_yaml::from_str::<Value>(text).is_ok_and(|value| validator.is_valid(&value))
}

#[test]
fn the_shipped_catalog_states_the_published_numbers() {
    let catalog = shipped();
    assert_eq!(catalog.currency, "USD");
    let rates: Vec<_> = (catalog.rates.iter())
        .map(|rate| format!("{} {} {} per {}", rate.node_type, rate.operation, rate.credits, rate.unit))
        .collect();
    assert_eq!(
        rates,
        [
            "Public StorageEgress 10 per 1000000000",
            "Public TokensOut 0.001 per 1",
            "Private StorageEgress 1 per 1000000000",
            "Private TokensOut 0.00005 per 1",
        ]
    );
    let offer = |offer: Option<Offer>| match offer {
        Some(Offer { credits, price }) => format!("{credits}/{price}"),
        None => "none".to_owned(),
    };
    let plans: Vec<_> = (catalog.plans.iter())
        .map(|plan| {
            let Plan { name, display_name, pack_purchases, lapses_to, overdraft, monthly, yearly } = plan;
            assert_eq!(*overdraft, Credits::ZERO, "{name}");
            let (monthly, yearly) = (offer(*monthly), offer(*yearly));
            format!("{name} ({display_name}) {monthly} {yearly} {pack_purchases:?} {lapses_to:?}")
        })
        .collect();
    assert_eq!(
        plans,
        [
            "individual (Individual) 10/0 none Refused None",
            "organization-free (Organization Free) 40/0 none Refused None",
            "starter (Starter) 1100/100 15000/1000 Allowed Some(\"organization-free\")",
            "growth (Growth) 9500/300 130000/3000 Allowed Some(\"organization-free\")",
            "scale (Scale) 89000/1000 1125000/10000 Allowed Some(\"organization-free\")",
        ]
    );
    let packs: Vec<_> = (catalog.packs.iter())
        .map(|pack| format!("{} {} {} {:?}", pack.name, pack.credits, pack.price, pack.expires_after_days))
        .collect();
    assert_eq!(packs, ["plus-100 100 20 None", "plus-500 500 50 None", "plus-1000 1000 100 None"]);
}

#[test]
fn the_test_kit_has_the_shipped_catalog_as_values() {
    assert_eq!(flashgate_testing::catalog::shipped(), shipped());
}

#[test]
fn the_shipped_catalog_states_the_default_policies() {
    assert_eq!(shipped().policies, Policies::default());
    let stated = SHIPPED.split_once("\npolicies:").expect("policies are stated").0;
    assert_eq!(parsed(stated), shipped());
}

#[test]
fn every_field_is_read() {
    let catalog = parsed(GOOD);
    assert_eq!(catalog.rates[1].credits, Credits::ZERO);
    assert_eq!(catalog.rates[1].unit.to_string(), "1000");
    assert_eq!(catalog.plans[0].display_name, "free");
    assert_eq!(catalog.plans[1].display_name, "Team");
    assert_eq!(catalog.plans[1].lapses_to.as_deref(), Some("free"));
    assert_eq!(catalog.plans[1].overdraft, "25.5".parse().expect("credits"));
    assert_eq!(catalog.packs[0].expires_after_days, Some(90));
    assert_eq!(
        catalog.policies,
        Policies {
            pack_limit: PackLimit { max: 3, scope: PackLimitScope::PerPack },
            settlement_grace_seconds: 7_200,
            accept_usage_for_seconds: 600,
            accept_ahead_seconds: 3_600,
            payments: PaymentPolicy { mode: PaymentMode::External, due_within_seconds: 6_000 },
            checkout_url: None,
            reports: ReportPolicy { keep_for_seconds: 60, max_credits: "5000".parse().expect("credits") },
            alert_thresholds_percent: vec![50, 90],
            gate: GatePolicy { grace_seconds: 900, cache_seconds: 5 },
        }
    );
    assert!(fits_the_schema(GOOD));
}

#[test]
fn only_currency_and_a_plan_are_needed() {
    let catalog = parsed("{currency: EUR, plans: [{name: team, yearly: {credits: '1'}}]}");
    assert_eq!((catalog.rates.len(), catalog.packs.len()), (0, 0));
    assert_eq!(catalog.policies, Policies::default());
}

#[test]
fn a_catalog_may_have_no_alert_thresholds() {
    let text = good_but("[50, 90]", "[]");
    assert!(parsed(&text).policies.alert_thresholds_percent.is_empty());
    assert!(fits_the_schema(&text));
}

#[test]
fn the_page_of_an_invoice_is_a_url_with_its_number() {
    let with = |url: &str| good_but("dueWithinSeconds: 6000", &format!("checkoutURL: \"{url}\""));
    let url = "https://pay.example.com/i/{invoice}?lang=en";
    assert_eq!(parsed(&with(url)).policies.checkout_url.as_deref(), Some(url));
    assert!(fits_the_schema(&with(url)));
    let long = format!("https://pay.example.com/{{invoice}}/{}", "a".repeat(500));
    for bad in ["https://pay.example.com/i/", "javascript:{invoice}", "https://{invoice}/a b", "", &long] {
        let message = refused(&with(bad));
        assert!(
            message.contains("policies.payments.checkoutURL") && message.contains("; must be a URL"),
            "{message}"
        );
        assert!(!fits_the_schema(&with(bad)), "{bad}");
    }
}

#[test]
fn each_bad_catalog_is_refused_with_its_line_and_a_remedy() {
    let mut wrong = Vec::new();
    for (from, to, message, told) in BAD {
        let text = good_but(from, to);
        let told_now = if fits_the_schema(&text) { ByReader } else { BySchema };
        let message_now = refused(&text);
        if (message_now.as_str(), told_now) != (format!("catalog.yaml:{message}").as_str(), *told) {
            wrong.push(format!("{from:?} -> {to:?} is refused by {told_now:?}: {message_now}"));
        }
        assert!(message.contains("; must "), "no remedy: {message}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_file() {
    let text =
        good_but("USD", "Dollar").replace("\"15000\"", "15000").replace("lapsesTo: free", "lapsesTo: none");
    assert_eq!(
        refused(&text),
        "catalog.yaml:1:11: currency: 'Dollar' is refused; must be three capital letters, such as USD\n\
         catalog.yaml:11:13: plans[1].lapsesTo: 'none' is not a plan of this catalog; must be one of free\n\
         catalog.yaml:14:21: plans[1].yearly.credits: 15000 is not text to YAML; must be quoted: \"15000\""
    );
}

#[test]
fn a_catalog_that_is_not_a_plain_yaml_mapping_is_refused() {
    for (text, message) in [
        ("", "1:1: the file is empty; must hold a catalog"),
        ("# nothing yet\n", "2:1: the file is empty; must hold a catalog"),
        ("- USD", "1:1: a list is refused; must be a mapping of currency, rates, plans, packs, policies"),
        ("currency: [", "1:11: not valid YAML: unclosed bracket '['"),
        ("currency: \"USD\nplans: []\n", "1:11: not valid YAML: unclosed quote"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document begins; a catalog must be one document"),
        ("currency: !!str USD", "1:17: tags (!) are refused; must be a plain value"),
        ("[USD]: 1", "1:1: a list or a mapping is no field name; must be text"),
        ("[[[[[[[[[[[[[[[[[[[[", "1:17: not valid YAML: recursion limit exceeded"),
        (
            "currency: &usd USD\nplans: *usd",
            "1:16: anchors (&) and aliases (*) are refused, so that each number is read where it stands; \
             must be written out",
        ),
        ("currency: USD\nplans: []", "2:8: plans: no plan is given; must be at least one"),
    ] {
        assert_eq!(refused(text), format!("catalog.yaml:{message}"), "{text}");
    }
}

#[test]
fn a_catalog_cut_off_anywhere_is_read_or_refused() {
    for end in 0..GOOD.len() {
        if let Err(errors) = parse(&GOOD[..end], "catalog.yaml") {
            assert!(errors.to_string().starts_with("catalog.yaml:"), "{errors}");
        }
    }
}

/// A catalog of plans as (name, `lapsesTo`, monthly price).
fn plans_of(plans: &[(&str, &str, &str)]) -> String {
    let plan = |(name, lapses_to, price): &(&str, &str, &str)| {
        let lapses_to = if lapses_to.is_empty() { String::new() } else { format!("lapsesTo: {lapses_to}, ") };
        format!("- {{name: {name}, {lapses_to}monthly: {{credits: '1', price: '{price}'}}}}\n")
    };
    format!("currency: USD\nplans:\n{}", plans.iter().map(plan).collect::<Vec<_>>().concat())
}

#[test]
fn plans_with_a_price_that_lapse_into_each_other_are_refused_each_on_its_line() {
    let two = plans_of(&[("one", "two", "1"), ("two", "one", "2")]);
    assert_eq!(
        refused(&two),
        "catalog.yaml:3:25: plans[0].lapsesTo: one -> two -> one is a cycle of plans with a price; must lead to a plan \
         that is free monthly, or be left out\n\
         catalog.yaml:4:25: plans[1].lapsesTo: two -> one -> two is a cycle of plans with a price; must lead to a plan \
         that is free monthly, or be left out"
    );
    // A plan that leads into the cycle needs no change of its own, so it is not reported.
    let tail = plans_of(&[("tail", "one", "9"), ("one", "two", "1"), ("two", "one", "2")]);
    assert_eq!(refused(&tail).lines().count(), 2);
    for fine in [
        [("one", "two", "1"), ("two", "free", "2"), ("free", "", "0")],
        [("one", "two", "1"), ("two", "three", "2"), ("three", "", "3")],
        [("one", "free", "1"), ("free", "one", "0"), ("two", "one", "2")],
    ] {
        assert!(parse(&plans_of(&fine), "catalog.yaml").is_ok(), "{fine:?}");
    }
}

#[test]
fn more_than_256_rates_plans_or_packs_are_refused() {
    let list = |count: usize, item: &dyn Fn(&str) -> String| {
        let items = (0..count).map(|index| format!("- {}\n", item(&format!("n{index}"))));
        items.collect::<Vec<_>>().concat()
    };
    let plan = |name: &str| format!("{{name: {name}, monthly: {{credits: '1'}}}}");
    let pack = |name: &str| format!("{{name: {name}, credits: '1'}}");
    let rate =
        |name: &str| format!("{{nodeType: N, operation: {}, unit: '1', credits: '1'}}", name.to_uppercase());
    let catalog = |rates, plans, packs| {
        format!(
            "currency: USD\nplans:\n{}packs:\n{}rates:\n{}",
            list(plans, &plan),
            list(packs, &pack),
            list(rates, &rate)
        )
    };
    let most = catalog(256, 256, 256);
    assert!(parse(&most, "catalog.yaml").is_ok() && fits_the_schema(&most));
    for (text, message) in [
        (catalog(257, 1, 1), "catalog.yaml:7:3: rates: 257 rates are given; must be at most 256"),
        (catalog(1, 257, 1), "catalog.yaml:3:3: plans: 257 plans are given; must be at most 256"),
        (catalog(1, 1, 257), "catalog.yaml:5:3: packs: 257 packs are given; must be at most 256"),
    ] {
        assert_eq!(refused(&text), message);
        assert!(!fits_the_schema(&text));
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in r"\PC*", near in "[-a{}\\[\\]:,&*!|>\"'#% \n0-9.]*") {
        for text in [text, near] {
            let _ = parse(&text, "catalog.yaml");
        }
    }
}

#[test]
fn bounds_are_the_same_to_the_reader_and_the_schema() {
    for (from, field, (least, most)) in [
        ("expiresAfterDays: 90", "expiresAfterDays", (1, 36_500)),
        ("max: 3", "max", (0, 1_000)),
        ("settlementGraceSeconds: 7200", "settlementGraceSeconds", (0, 10_000_000)),
        ("acceptForSeconds: 600", "acceptForSeconds", (60, 100_000_000)),
        ("dueWithinSeconds: 6000", "dueWithinSeconds", (60, 2_419_199)),
        ("keepForSeconds: 60", "keepForSeconds", (0, 1_000_000_000)),
        ("acceptAheadSeconds: 3600", "acceptAheadSeconds", (0, 100_000_000)),
    ] {
        for (number, fits) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
            let text = good_but(from, &format!("{field}: {number}"));
            assert_eq!(parse(&text, "catalog.yaml").is_ok(), fits, "{field}: {number}");
            assert_eq!(fits_the_schema(&text), fits, "the schema on {field}: {number}");
        }
    }
    for (percent, fits) in [(0, false), (1, true), (1_000, true), (1_001, false)] {
        let text = good_but("[50, 90]", &format!("[{percent}]"));
        assert_eq!(parse(&text, "catalog.yaml").is_ok(), fits, "{percent} %");
        assert_eq!(fits_the_schema(&text), fits, "the schema on {percent} %");
    }
}

#[test]
fn texts_at_their_longest_are_the_same_to_the_reader_and_the_schema() {
    for (from, field, letter, most) in [
        ("name: plus", "name", "a", 63),
        ("nodeType: Private", "nodeType", "A", 63),
        ("displayName: Plus", "displayName", "ä", 100),
    ] {
        for (length, fits) in [(most, true), (most + 1, false)] {
            let text = good_but(from, &format!("{field}: {}", letter.repeat(length)));
            assert_eq!(parse(&text, "catalog.yaml").is_ok(), fits, "{field} of {length}");
            assert_eq!(fits_the_schema(&text), fits, "the schema on {field} of {length}");
        }
    }
    for amount in ["1000000000000", "1000000000000.0", "999999999999.999999999", "0"] {
        let text = good_but("\"0.001\"", &format!("\"{amount}\""));
        assert!(parse(&text, "catalog.yaml").is_ok() && fits_the_schema(&text), "{amount}");
    }
}

#[test]
fn the_schema_knows_the_same_fields_as_the_reader() {
    let generated = schema::generate();
    for (from, mapping) in [
        ("currency: USD", "/properties"),
        ("nodeType: Private", "/$defs/Rate/properties"),
        ("displayName: Team", "/$defs/Plan/properties"),
        ("price: \"1000\"", "/$defs/Offer/properties"),
        ("displayName: Plus", "/$defs/Pack/properties"),
        ("settlementGraceSeconds: 7200", "/$defs/Policies/properties"),
        ("scope: PerPack", "/$defs/PackLimit/properties"),
        ("acceptForSeconds: 600", "/$defs/LateUsage/properties"),
        ("mode: External", "/$defs/Payments/properties"),
        ("keepForSeconds: 60", "/$defs/Reports/properties"),
    ] {
        let message = refused(&good_but(from, &from.replacen(char::is_alphabetic, "zz", 1)));
        let known =
            message.split("must be one of ").nth(1).and_then(|rest| rest.lines().next()).expect("fields");
        let mut known: Vec<&str> = known.split(", ").collect();
        known.sort_unstable();
        let properties = generated.pointer(mapping).and_then(Value::as_object).expect("properties");
        assert_eq!(known, properties.keys().collect::<Vec<_>>(), "{mapping}");
    }
}

#[test]
fn the_published_schema_is_the_generated_one() {
    let published = include_str!("../../docs/reference/catalog.schema.json");
    assert_eq!(
        published,
        schema(),
        "outdated; run: flashgate-billing catalog schema > docs/reference/catalog.schema.json"
    );
}

const PAGE: &str = include_str!("../../docs/reference/catalog.md");

#[test]
fn the_page_shows_the_shipped_catalog_and_one_that_is_valid() {
    let examples: Vec<&str> =
        PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    assert_eq!(examples[0], SHIPPED, "the page's first example is the shipped catalog");
    assert!(fits_the_schema(examples[0]));
    let own = parsed(examples[1]);
    assert_eq!(own.policies.payments.mode, PaymentMode::External);
    assert!(fits_the_schema(examples[1]));
}

#[test]
fn the_page_names_every_field() {
    let generated = schema::generate();
    let defined = generated["$defs"].as_object().expect("definitions").values();
    for mapping in defined.chain([&generated]) {
        for field in mapping["properties"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            let named = [format!("`{field}`"), format!("`{field}."), format!(".{field}`")];
            assert!(named.iter().any(|name| PAGE.contains(name)), "the page must name '{field}'");
        }
    }
}

#[test]
fn the_message_on_the_page_is_the_real_one() {
    let shown =
        PAGE.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("an example");
    let own = PAGE.split("```yaml\n").nth(2).and_then(|rest| rest.split("```").next()).expect("a catalog");
    let wrong = own.replace("lapsesTo: trial", "lapsesTo: trail").replace("\"0.02\"", "0.02");
    assert_eq!(parse(&wrong, "own.yaml").expect_err("a mistake").to_string(), shown);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = load(Path::new("/nowhere/catalog.yaml")).expect_err("no such file");
    assert_eq!(
        missing.to_string(),
        "cannot read the catalog /nowhere/catalog.yaml: No such file or directory (os error 2); must be a file that you may \
         read"
    );
}
