//! The query of the page: filters, and the place of a page of entries.

use flashgate_history::query::entries::{EntryFilter, Kinds, Place};
use flashgate_ledger::entry::Detail;
use serde::Deserialize;
use serde_urlencoded::to_string;

use crate::history::RecordQuery;
use crate::parameters::{choice, given, range_of, whole};
use crate::refused::{ErrorCode, Refused};

/// Entries of a page.
pub(super) const PAGE: u32 = 50;

/// Longest text of a filter, in characters.
const TEXT_LENGTH: usize = 256;

/// The kind of rows that stand for entries that are not recorded.
const OPENING: &str = "Opening";

/// Parameters of the page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryParameters {
    /// Kind of the entries.
    kind: Option<String>,
    /// First day or time.
    from: Option<String>,
    /// Last day or time.
    to: Option<String>,
    /// Beginning of a text.
    text: Option<String>,
    /// Number of the entry before which the page ends.
    before: Option<String>,
    /// Number of the entry after which the page begins.
    after: Option<String>,
    /// `html` or `csv`.
    format: Option<String>,
}

/// The query of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The records to show.
    pub query: RecordQuery,
    /// Whether all selected records are sent as a file.
    pub is_csv: bool,
    /// The filters as they were given: kind, from, to and text. Absent ones are empty.
    pub given: [String; 4],
}

/// The names of the parameters of filters.
const FILTERS: [&str; 4] = ["kind", "from", "to", "text"];

impl HistoryParameters {
    /// Returns the query.
    ///
    /// # Errors
    /// When a parameter is none of the accepted values.
    pub(super) fn view(&self) -> Result<View, Refused> {
        let Self { kind, from, to, text, before, after, format } = self;
        let (first, last) = range_of(("from", from.as_ref()), ("to", to.as_ref()))?;
        let text = given(text.as_ref());
        if text.is_some_and(|text| text.chars().count() > TEXT_LENGTH) {
            return Err(Refused::parameter("text", &format!("at most {TEXT_LENGTH} characters long")));
        }
        let filter = EntryFilter {
            from: first,
            to: last,
            kinds: kinds(kind.as_ref())?,
            text: text.map(str::to_owned),
        };
        let formats = [("html", false), ("csv", true)];
        let given = [kind, from, to, &self.text].map(|text| text.clone().unwrap_or_default());
        Ok(View {
            query: RecordQuery { filter, place: place(before.as_ref(), after.as_ref())?, limit: PAGE },
            is_csv: choice("format", format.as_ref(), &formats, Some(false))?,
            given,
        })
    }
}

fn kinds(kind: Option<&String>) -> Result<Kinds, Refused> {
    let Some(kind) = given(kind) else { return Ok(Kinds::All) };
    if kinds_of_entries().any(|known| known == kind) {
        return Ok(Kinds::Only(kind.to_owned()));
    }
    let words: Vec<&str> = kinds_of_entries().collect();
    Err(Refused::parameter("kind", &format!("one of {}", words.join(", "))))
}

/// Returns the kinds that a filter can select.
pub(super) fn kinds_of_entries() -> impl Iterator<Item = &'static str> {
    Detail::KINDS.into_iter().chain([OPENING])
}

fn place(before: Option<&String>, after: Option<&String>) -> Result<Place, Refused> {
    let number = |name, text: Option<&String>| {
        given(text).map(|_| whole(name, text, (0_i64, i64::MAX), 0)).transpose()
    };
    match (number("before", before)?, number("after", after)?) {
        (None, None) => Ok(Place::Newest),
        (Some(number), None) => Ok(Place::Before(number)),
        (None, Some(number)) => Ok(Place::After(number)),
        (Some(_), Some(_)) => {
            Err(Refused::new(ErrorCode::InvalidParameter, "send `before` or `after`, and not both"))
        }
    }
}

impl View {
    /// Returns the query of an address with the same filters and one more parameter.
    pub(super) fn address(&self, further: Option<(&str, &str)>) -> String {
        let filters = FILTERS.into_iter().zip(self.given.iter().map(String::as_str));
        let pairs: Vec<(&str, &str)> =
            filters.filter(|(_, value)| !value.is_empty()).chain(further).collect();
        to_string(pairs).unwrap_or_default()
    }

    /// Returns whether a filter is set.
    pub(super) fn is_filtered(&self) -> bool {
        self.given.iter().any(|value| !value.is_empty())
    }
}

/// Returns the name of a kind of entry for people.
pub(super) fn kind_name(kind: &str) -> &str {
    match kind {
        "Granted" => "Plan credits",
        "Purchased" => "Pack",
        "Adjusted" => "Adjustment",
        "Charged" => "Consumption",
        "SettlementClosed" => "Settlement closed",
        "Refunded" => "Refund",
        "PlanChanged" => "Plan change",
        "Renewed" => "Renewal",
        "Lapsed" => "End of a plan",
        "Invoiced" => "Invoice",
        "Settled" => "Payment",
        "Voided" => "Void invoice",
        "Accepted" => "Accepted ledger",
        "Opening" => "Opening or gap",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> HistoryParameters {
        let of =
            |name: &str| pairs.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        HistoryParameters {
            kind: of("kind"),
            from: of("from"),
            to: of("to"),
            text: of("text"),
            before: of("before"),
            after: of("after"),
            format: of("format"),
        }
    }

    #[test]
    fn filters_are_kept_in_every_address() {
        let view =
            parameters(&[("kind", "Charged"), ("from", "2026-02-01"), ("text", "a&b=\"c\""), ("to", "")]);
        let view = view.view().expect("view");
        assert_eq!(view.address(None), "kind=Charged&from=2026-02-01&text=a%26b%3D%22c%22");
        assert_eq!(
            view.address(Some(("before", "7"))),
            "kind=Charged&from=2026-02-01&text=a%26b%3D%22c%22&before=7"
        );
        assert_eq!(view.query.filter.kinds, Kinds::Only("Charged".to_owned()));
        assert!(view.is_filtered() && !parameters(&[]).view().expect("view").is_filtered());
    }

    #[test]
    fn a_page_is_before_or_after_an_entry() {
        let place = |pairs: &[(&str, &str)]| parameters(pairs).view().map(|view| view.query.place);
        assert_eq!(place(&[]), Ok(Place::Newest));
        assert_eq!(place(&[("before", "7"), ("after", "")]), Ok(Place::Before(7)));
        assert_eq!(place(&[("after", "0")]), Ok(Place::After(0)));
    }

    #[test]
    fn other_values_are_refused_with_what_is_allowed() {
        let long = "x".repeat(257);
        for (pairs, expected) in [
            (vec![("kind", "charged")], "`kind` must be one of Granted, Purchased, Adjusted, Charged, "),
            (vec![("from", "1 Feb")], "`from` must be a date or a time such as"),
            (vec![("to", "2026-02-30")], "`to` must be a date or a time such as"),
            (vec![("from", "2026-02-02"), ("to", "2026-02-01")], "`from` must be at or before `to`"),
            (vec![("before", "-1")], "`before` must be a whole number from 0 to "),
            (vec![("after", "x")], "`after` must be a whole number from 0 to "),
            (vec![("before", "1"), ("after", "1")], "send `before` or `after`, and not both"),
            (vec![("format", "pdf")], "`format` must be one of html, csv"),
            (vec![("text", long.as_str())], "`text` must be at most 256 characters long"),
        ] {
            let refused = parameters(&pairs).view().expect_err(expected);
            assert!(refused.message.starts_with(expected), "{refused}");
            assert_eq!(refused.code.status(), 400);
        }
    }
}
