//! Pages of many rows, and the filters of the history.

use std::collections::BTreeSet;

use super::*;

/// Returns entries that grant one credit each.
fn grants(count: usize) -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let detail = json!({"amount": "1", "plan": "starter", "periodNumber": 1});
    vec![("2026-02-10T11:00:00Z", "Granted", "1", detail); count]
}

/// Returns the address of a link with these words, below the account.
fn link<'a>(text: &'a str, relation: &str) -> Option<&'a str> {
    let tag = between(text, "<a class=\"button\"", ">").into_iter().find(|tag| tag.contains(relation))?;
    tag.split_once("href=\"/team/acme/")?.1.split_once('"').map(|(path, _)| path)
}

/// Returns the rows of each page, from the first one on along the links to older rows.
async fn pages(fake: &Fake, first: &str, begin: &str, end: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let text = shown(fake, &path).await;
        pages.push(between(&text, begin, end).into_iter().map(str::to_owned).collect());
        next = link(&text, "rel=\"next\"").map(|path| path.replace("&amp;", "&"));
    }
    pages
}

#[tokio::test]
async fn a_thousand_invoices_are_on_twenty_pages() {
    let numbers: Vec<String> = (2..1_002).map(|number| format!("acme-1f3a9c2e-{number:04}")).collect();
    let detail = |number: &String| {
        json!({
            "amount": "20", "currency": "USD", "invoice": number, "reason": "Pack", "dueTime": "2026-02-13T11:40:00Z",
            "lines": [{"pack": "plus-100", "credits": "100", "amount": "20"}],
        })
    };
    let items: Vec<_> =
        numbers.iter().map(|number| ("2026-02-10T11:00:00Z", "Invoiced", "0", detail(number))).collect();
    let (fake, _folder) = recorded(&items, Vec::new()).await;
    let begin = "data-testid=\"invoice-row\"><th scope=\"row\"><a href=\"/team/acme/invoices/";
    let pages = pages(&fake, "invoices", begin, "\"").await;
    assert_eq!((pages.len(), pages[0].len()), (20, 50));
    let found: Vec<String> = pages.concat();
    let expected: Vec<String> = numbers.into_iter().rev().collect();
    assert_eq!(found, expected, "newest first, each once");
    let text = shown(&fake, "invoices?after=acme-1f3a9c2e-0951").await;
    assert_eq!(between(&text, begin, "\"")[0], "acme-1f3a9c2e-1001");
    assert!(text.contains("Pack +100 credits"), "{text}");
}

#[tokio::test]
async fn pages_of_entries_join_without_a_gap() {
    let items = grants(120);
    let (fake, _folder) = recorded(&items, Vec::new()).await;
    let pages = pages(&fake, "history", "data-testid=\"history-row\" id=\"entry-", "\"").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    let expected: Vec<String> = (1..=120).rev().map(|number: u32| number.to_string()).collect();
    assert_eq!(pages.concat(), expected);
    let older = shown(&fake, "history?before=71").await;
    let newer = link(&older, "rel=\"prev\"").expect("newer");
    assert_eq!(newer, "history?after=70");
    let text = shown(&fake, newer).await;
    assert_eq!(between(&text, "id=\"entry-", "\"").first(), Some(&"120"));
}

#[tokio::test]
async fn filters_select_entries_and_stay_in_the_form_and_in_links() {
    let (fake, _folder) = started().await;
    let numbers = async |query: &str| {
        let text = shown(&fake, &format!("history?{query}")).await;
        between(&text, "id=\"entry-", "\"").into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    for (query, expected) in [
        ("kind=Charged", vec!["3"]),
        ("kind=Invoiced", vec!["4"]),
        ("from=2026-02-01&to=2026-02-28", vec!["2", "3", "4"]),
        ("to=2026-02-09", vec!["1"]),
        ("text=gw-1", vec!["3"]),
        ("text=media", vec!["3"]),
        ("text=plus-", vec!["2"]),
        ("text=nothing", vec![]),
        ("kind=Granted&text=media", vec![]),
    ] {
        let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(numbers(query).await, expected, "{query}");
    }
    let text = shown(&fake, "history?kind=Charged&text=gw-1").await;
    assert!(text.contains("<option value=\"Charged\" selected>Consumption</option>"), "{text}");
    assert!(text.contains("value=\"gw-1\""), "{text}");
    assert!(text.contains("history?kind=Charged&amp;text=gw-1&amp;format=csv"), "{text}");
}

#[tokio::test]
async fn rows_for_lost_entries_explain_themselves() {
    let items = grants(5);
    let whole = batch(ACCOUNT, &items, Vec::new());
    let folder = tempfile::tempdir().expect("folder");
    let store =
        Store::open(&HistoryUrl::Sqlite(folder.path().join("history.db"))).expect("store").expect("a store");
    store.migrate().await.expect("tables");
    // The history begins after entry 1, and has lost entries 3 and 4.
    for (before, numbers) in [(0, 1..2), (3, 4..5)] {
        let mut part = whole.clone();
        let last = &whole.entries[before];
        part.opening.number = last.number;
        part.opening.sequence = last.sequence;
        part.opening.hash.clone_from(&last.hash);
        part.opening.balance = last.balance;
        part.opening.time = last.time;
        part.entries = whole.entries[numbers].to_vec();
        store.record(&[part]).await.expect("recorded");
    }
    let history: Arc<dyn History> = Arc::new(StoreHistory::new(store));
    let fake = Fake::start_with(settings(), objects(&accounts::status("5")), Some(history));
    let text = shown(&fake, "history").await;
    assert!(text.contains("The history begins here."), "{text}");
    assert!(text.contains("The history has lost the entries 3 to 4."), "{text}");
    let only = shown(&fake, "history?kind=Opening").await;
    assert_eq!(only.matches("data-testid=\"history-row\"").count(), 2, "{only}");
}

#[tokio::test]
async fn an_invoice_shows_its_items_its_customer_and_its_payments() {
    let number = "acme-1f3a9c2e-0077";
    let items = [
        (
            "2026-02-10T10:00:00Z",
            "Invoiced",
            "0",
            json!({
                "amount": "30", "currency": "USD", "invoice": number, "reason": "Pack", "object": "CreditPack/order-7",
                "dueTime": "2026-02-13T11:40:00Z", "lines": [{"pack": "plus-100", "credits": "100", "amount": "30"}],
                "billingDetails": {
                    "name": "Acme & Sons", "email": "billing@acme.example", "taxID": "DE123", "address": "Street 1\nTown",
                },
            }),
        ),
        (
            "2026-02-10T11:00:00Z",
            "Settled",
            "0",
            json!({"amount": "30", "currency": "USD", "invoice": number, "state": "Settled", "object": "Payment/evt-7"}),
        ),
        // The number of another invoice begins with the same text.
        (
            "2026-02-10T11:00:00Z",
            "Settled",
            "0",
            json!({"amount": "1", "currency": "USD", "invoice": format!("{number}1"), "object": "Payment/evt-8"}),
        ),
    ];
    let (fake, _folder) = recorded(&items, Vec::new()).await;
    let text = shown(&fake, &format!("invoices/{number}")).await;
    for expected in [
        "Acme &amp; Sons",
        "Street 1\nTown",
        "Tax ID DE123",
        "billing@acme.example",
        "Pack +100 credits",
        "30.00 USD",
        "Paid",
        "was paid by Payment evt-7.",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("evt-8"), "{text}");
}
