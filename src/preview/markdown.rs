//! The consequences as the comment of a pull request.

use std::fmt::Write as _;

use flashgate_ledger::entry::Entry;

use super::AccountPreview;
use super::output::exit_code;
use super::table::headline;
use crate::grid::grouped;
use crate::statement::describe;

/// The first line of each comment. A job finds its earlier comment by it, and replaces that.
pub const MARKER: &str = "<!-- flashgate-billing preview -->";

/// Returns the consequences as a comment that begins with [`MARKER`]. `catalog` names the catalog, and `notes` are about the
/// input.
#[must_use]
pub fn render(accounts: &[AccountPreview], catalog: &str, notes: &[String]) -> String {
    let mut text = format!("{MARKER}\n### Credits: {}\n", title(accounts));
    for account in accounts {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", render_account(account));
    }
    for note in notes {
        let _ = write!(text, "\n> {}\n", inline(note));
    }
    let _ = write!(
        text,
        "\n<sub>Prices and plans are those of {}. Nothing was written.</sub>\n",
        inline(catalog)
    );
    text
}

fn title(accounts: &[AccountPreview]) -> String {
    let refused: usize = accounts.iter().map(|account| account.refused.len()).sum();
    let purchases: usize = accounts.iter().map(|account| account.new_purchases).sum();
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    match (exit_code(accounts), purchases) {
        (1, _) => format!("{} refused", counted(refused, "object")),
        (_, 0) if accounts.iter().all(AccountPreview::changes_nothing) => "nothing changes".to_owned(),
        (_, 0) => format!("{} affected, no new purchase", counted(accounts.len(), "account")),
        (_, purchases) => counted(purchases, "new purchase"),
    }
}

fn render_account(account: &AccountPreview) -> String {
    let AccountPreview { subscription, entries, later, refused, notes, .. } = account;
    let mut text = format!("**{}**: {}\n", inline(subscription), inline(&headline(account)));
    for refused in refused {
        let (object, message) = (inline(&refused.object), inline(&refused.message));
        let _ =
            write!(text, "\n> [!CAUTION]\n> {object} is refused ({}): {message}\n", inline(&refused.reason));
    }
    for note in notes {
        let _ = write!(text, "\n> [!WARNING]\n> {}\n", inline(note));
    }
    if !entries.is_empty() {
        text.push_str("\n| now | | credits | balance |\n|---|---|--:|--:|\n");
        text.extend(entries.iter().map(row));
    }
    if !later.is_empty() {
        text.push_str("\n| later, if nothing else changes | |\n|---|---|\n");
        for later in later {
            let _ = writeln!(text, "| {} | {} |", later.time.strftime("%F %H:%M UTC"), inline(&later.what));
        }
    }
    text
}

fn row(entry: &Entry) -> String {
    let change = entry.credits;
    let sign = if change.is_positive() { "+" } else { "" };
    let credits =
        if change.is_zero() { String::new() } else { format!("{sign}{}", grouped(&change.to_string())) };
    let balance = grouped(&entry.balance.to_string());
    format!("| {} | {} | {credits} | {balance} |\n", entry.detail.kind(), inline(&describe(entry)))
}

/// Returns a text that cannot leave its cell or begin markup: names and messages can have characters of users.
fn inline(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, character| {
        match character {
            '|' | '`' | '*' | '_' | '[' | ']' | '#' | '\\' | '!' | '~' => safe.extend(['\\', character]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // A mention would notify somebody.
            '@' => safe.push_str("&#64;"),
            '\n' | '\r' | '\t' | '\u{a0}' => safe.push(' '),
            other => safe.push(other),
        }
        safe
    })
}
