//! Notices of parts that need a history, where there is none.

use maud::Markup;

use super::layout::missing;

/// Returns the notice of a part that shows less without a history.
pub(crate) fn notice(shown: &str) -> Markup {
    missing(
        &format!("There is no history: {shown}."),
        "The operator records one with the option --history, and this page reads it with the same option.",
    )
}

/// Returns the notice of a part that shows nothing without a history, because the caller may not read the ledger.
pub(crate) fn forbidden() -> Markup {
    missing(
        "There is no history, and you may not read the ledger.",
        "Ask the administrator of the namespace for the right 'get creditledgers'.",
    )
}
