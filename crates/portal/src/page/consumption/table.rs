//! The table of consumption, on the page and in a file.

use flashgate_ledger::{Credits, Quantity};
use jiff::Timestamp;
use maud::{Markup, html};

use crate::page::csv::{self, Cell};
use crate::page::format;

/// Most rows of a table on the page. The file has all of them.
pub(super) const MOST_ROWS: usize = 100;

/// A table of consumption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Name of the first column, such as `Repository`.
    pub name: &'static str,
    /// The columns between the name and the credits.
    pub columns: Columns,
    /// The rows.
    pub rows: Vec<TableRow>,
}

/// The columns of a table between the name and the credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// Credits of storage, and of all other usage.
    Split,
    /// The quantity.
    Quantity,
    /// None.
    Nothing,
}

/// A row of a table of consumption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableRow {
    /// Name of the group or the time.
    pub name: String,
    /// The time, for a file.
    pub start: Option<Timestamp>,
    /// Quantity with its unit for people.
    pub quantity_text: String,
    /// Quantity.
    pub quantity: Quantity,
    /// Credits of storage.
    pub storage: Credits,
    /// Credits of all other usage.
    pub ai: Credits,
}

impl TableRow {
    /// Returns a row with credits of storage and of all other usage.
    pub(super) fn split(name: &str, [storage, ai]: [Credits; 2]) -> Self {
        Self { name: name.to_owned(), storage, ai, ..Self::default() }
    }

    /// Returns all credits.
    pub(super) fn total(&self) -> Credits {
        self.storage.checked_add(self.ai).unwrap_or_default()
    }

    /// Returns the cells between the name and the credits, for a file.
    fn cells(&self, columns: Columns) -> Vec<Cell> {
        match columns {
            Columns::Split => [self.storage, self.ai].map(Cell::credits).to_vec(),
            Columns::Quantity => vec![Cell::Number(self.quantity.to_string())],
            Columns::Nothing => Vec::new(),
        }
    }

    /// Returns the cells between the name and the credits, for people.
    fn texts(&self, columns: Columns) -> Vec<String> {
        match columns {
            Columns::Split => [self.storage, self.ai].map(format::credits).to_vec(),
            Columns::Quantity => vec![self.quantity_text.clone()],
            Columns::Nothing => Vec::new(),
        }
    }
}

impl Columns {
    /// Returns the names of the columns on the page and in a file.
    const fn names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Split => &[("Storage", "storage_credits"), ("AI", "ai_credits")],
            Self::Quantity => &[("Quantity", "quantity")],
            Self::Nothing => &[],
        }
    }
}

impl Table {
    /// Returns the credits of all rows.
    pub(super) fn total(&self) -> Credits {
        Credits::sum(self.rows.iter().map(TableRow::total)).unwrap_or_default()
    }

    /// Returns the table as a file.
    pub(super) fn csv(&self) -> Vec<u8> {
        let name = self.name.to_lowercase();
        let names = self.columns.names().iter().map(|(_, name)| *name);
        let header: Vec<&str> = std::iter::once(name.as_str()).chain(names).chain(["credits"]).collect();
        let cells = |row: &TableRow| {
            let start = row.start.map(|start| start.to_string());
            let mut cells = vec![Cell::text(start.as_ref().unwrap_or(&row.name))];
            cells.extend(row.cells(self.columns));
            cells.push(Cell::credits(row.total()));
            cells
        };
        let rows: Vec<Vec<Cell>> = self.rows.iter().map(cells).collect();
        let mut file = csv::header(&header);
        file.extend(csv::lines(rows.iter().map(Vec::as_slice)));
        file
    }

    /// Returns the table on the page.
    pub(super) fn markup(&self) -> Markup {
        let total = self.total();
        let hidden = self.rows.len().saturating_sub(MOST_ROWS);
        html! {
            table class="data" {
                caption class="hidden" { "Consumption by " (self.name.to_lowercase()) }
                thead {
                    tr {
                        th scope="col" { (self.name) }
                        @for (name, _) in self.columns.names() { th scope="col" class="number" { (name) } }
                        th scope="col" class="number" { "Credits" }
                        th scope="col" class="number" { "Share" }
                    }
                }
                tbody { @for row in self.rows.iter().take(MOST_ROWS) { (self.row_markup(row, total)) } }
                tfoot {
                    tr {
                        th scope="row" {
                            "Total"
                            @if hidden > 0 { " with " (hidden) " more rows, which are in the CSV file" }
                        }
                        @for text in self.sums() { td class="number" { (text) } }
                        td class="number" { (format::credits(total)) }
                        td class="number" { @if total.is_positive() { "100 %" } }
                    }
                }
            }
        }
    }

    /// Returns the sums between the name and the credits.
    fn sums(&self) -> Vec<String> {
        match self.columns {
            Columns::Split => {
                vec![sum(self.rows.iter().map(|row| row.storage)), sum(self.rows.iter().map(|row| row.ai))]
            }
            // Quantities of different units have no sum.
            Columns::Quantity => vec![String::new()],
            Columns::Nothing => Vec::new(),
        }
    }

    fn row_markup(&self, row: &TableRow, total: Credits) -> Markup {
        html! {
            tr {
                th scope="row" { (row.name) }
                @for text in row.texts(self.columns) { td class="number" { (text) } }
                td class="number" { (format::credits(row.total())) }
                td class="number" { (share(row.total(), total)) }
            }
        }
    }
}

fn sum(amounts: impl Iterator<Item = Credits>) -> String {
    format::credits(Credits::sum(amounts).unwrap_or_default())
}

/// Returns a share of a total in percent with one decimal. It is empty if the total is zero.
pub(super) fn share(part: Credits, total: Credits) -> String {
    let thousandfold = part.nanos().saturating_mul(1_000).saturating_add(total.nanos() / 2);
    let tenths = thousandfold.checked_div(total.nanos()).unwrap_or_default();
    if total.is_zero() { String::new() } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Credits {
        text.parse().expect("amount")
    }

    fn row(name: &str, storage: &str, ai: &str) -> TableRow {
        TableRow::split(name, [amount(storage), amount(ai)])
    }

    #[test]
    fn a_file_has_every_row_and_no_formula() {
        let rows = vec![row("=cmd()", "120", "0.5"), row("a,b", "0", "1")];
        let table = Table { name: "Repository", columns: Columns::Split, rows };
        let expected =
            "repository,storage_credits,ai_credits,credits\n'=cmd(),120,0.5,120.5\n\"a,b\",0,1,1\n";
        assert_eq!(String::from_utf8(table.csv()).expect("text"), expected);
    }

    #[test]
    fn a_page_shows_the_first_rows_and_says_how_many_more_there_are() {
        let rows: Vec<TableRow> = (0..150).map(|index| row(&format!("repo-{index}"), "1", "1")).collect();
        let table = Table { name: "Repository", columns: Columns::Split, rows };
        let markup = table.markup().into_string();
        assert_eq!(markup.matches("<th scope=\"row\">repo-").count(), MOST_ROWS);
        assert!(markup.contains("with 50 more rows"), "{markup}");
        assert!(markup.contains(">300</td>"), "the total counts all rows: {markup}");
        assert_eq!(String::from_utf8(table.csv()).expect("text").lines().count(), 151);
    }

    #[test]
    fn shares_have_one_decimal() {
        for (part, total, expected) in [
            ("1", "3", "33.3 %"),
            ("2", "3", "66.7 %"),
            ("3", "3", "100.0 %"),
            ("0", "3", "0.0 %"),
            ("0", "0", ""),
        ] {
            assert_eq!(share(amount(part), amount(total)), expected);
        }
    }
}
