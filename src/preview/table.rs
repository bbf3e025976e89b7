//! The consequences for people at a terminal.

use std::fmt::Write as _;

use super::AccountPreview;
use crate::grid::{Column, Grid, Layout, Tone, grouped};
use crate::statement::statement;

/// Returns the consequences as text. `catalog` names the catalog.
#[must_use]
pub fn render(accounts: &[AccountPreview], catalog: &str, layout: Layout) -> String {
    if accounts.is_empty() {
        return "The files touch no account.\n".to_owned();
    }
    let mut text = String::new();
    for account in accounts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", render_account(account, layout));
    }
    let _ = writeln!(text, "Nothing was written. Prices and plans are those of {catalog}.");
    text
}

/// Returns the balance before and after, the number of new purchases, and the change of the plan.
pub(super) fn headline(account: &AccountPreview) -> String {
    let AccountPreview { balance_before, balance_after, new_purchases, plan_change, reused_names, .. } =
        account;
    let (before, after) = (grouped(&balance_before.to_string()), grouped(&balance_after.to_string()));
    let balance = if balance_before == balance_after {
        format!("balance stays {after} credits")
    } else {
        format!("balance {before} -> {after} credits")
    };
    let purchases = match new_purchases {
        0 => String::new(),
        1 => "; 1 new purchase".to_owned(),
        count => format!("; {count} new purchases"),
    };
    let reused = match reused_names.as_slice() {
        [] => String::new(),
        names => format!("; bought before, so nothing is bought again: {}", names.join(", ")),
    };
    let change = plan_change.as_ref().map(|change| format!("; {change}")).unwrap_or_default();
    format!("{balance}{purchases}{change}{reused}")
}

fn render_account(account: &AccountPreview, layout: Layout) -> String {
    let AccountPreview { subscription, entries, later, refused, notes, .. } = account;
    let mut text = format!("ACCOUNT {subscription}: {}\n", headline(account));
    if account.changes_nothing() {
        text.push_str("The files change nothing about it.\n");
    }
    if !entries.is_empty() {
        let _ = write!(text, "\nNOW\n{}", statement(entries.iter(), layout));
    }
    if !refused.is_empty() {
        let mut grid = Grid::new([Column::text("OBJECT"), Column::text("REASON"), Column::prose("MESSAGE")]);
        for refused in refused {
            grid.row([
                (refused.object.clone(), Tone::Plain),
                (refused.reason.clone(), Tone::Alarm),
                (refused.message.clone(), Tone::Plain),
            ]);
        }
        let _ = write!(text, "\nREFUSED\n{}", grid.render(layout));
    }
    if !later.is_empty() {
        let mut grid = Grid::new([Column::text("TIME"), Column::prose("WHAT")]);
        for later in later {
            let time = later.time.strftime("%F %T").to_string();
            grid.row([(time, Tone::Plain), (later.what.clone(), Tone::Plain)]);
        }
        let _ = write!(text, "\nLATER, if nothing else changes\n{}", grid.render(layout));
    }
    for note in notes {
        let _ = writeln!(text, "\nnote: {note}");
    }
    text
}
