//! Text tables with aligned columns, within the width of the terminal.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};

/// Blank characters between two columns.
const GAP: u16 = 2;

/// A blank without a line break. It is printed as a normal blank.
pub const NO_BREAK: char = '\u{a0}';

/// The layout of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Characters in a line.
    pub width: u16,
    /// Whether colours may be used.
    pub is_styled: bool,
}

/// Returns a decimal with its thousands set apart, such as `1,125,000.5`.
pub fn grouped(decimal: &str) -> String {
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal), |digits| ("-", digits));
    let (whole, fraction) = digits.find('.').map_or((digits, ""), |point| digits.split_at(point));
    let mut groups = String::with_capacity(decimal.len());
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && whole.len().saturating_sub(index) % 3 == 0 {
            groups.push(',');
        }
        groups.push(digit);
    }
    format!("{sign}{groups}{fraction}")
}

/// The highlighting of a cell if colours are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Warning,
    Alarm,
}

/// A column: its heading and the kind of its content.
#[derive(Clone, Copy)]
pub struct Column {
    title: &'static str,
    pub is_amount: bool,
    is_prose: bool,
}

impl Column {
    /// Returns a column of words, which are not broken into lines.
    pub const fn text(title: &'static str) -> Self {
        Self { title, is_amount: false, is_prose: false }
    }

    /// Returns a column of amounts, aligned by their decimal points.
    pub const fn amount(title: &'static str) -> Self {
        Self { title, is_amount: true, is_prose: false }
    }

    /// Returns a column of sentences, which are wrapped if the table would be too wide.
    pub const fn prose(title: &'static str) -> Self {
        Self { title, is_amount: false, is_prose: true }
    }
}

/// A table without borders. Empty columns are left out.
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Grid {
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn render(mut self, layout: Layout) -> String {
        self.align_points();
        let is_used: Vec<bool> = (0..self.columns.len())
            .map(|index| {
                self.rows.iter().any(|row| row.get(index).is_some_and(|(text, _)| !text.trim().is_empty()))
            })
            .collect();
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(layout.width);
        if layout.is_styled {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let used = |index: &usize| is_used.get(*index).copied().unwrap_or_default();
        let columns: Vec<Column> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(index, _)| used(index))
            .map(|(_, column)| *column)
            .collect();
        table.set_header(columns.iter().map(|column| Cell::new(column.title).add_attribute(Attribute::Bold)));
        for row in self.rows {
            let cells = row.into_iter().enumerate().filter(|(index, _)| used(index));
            table.add_row(cells.map(|(_, (text, tone))| tone.cell(text)));
        }
        for (column, shown) in columns.iter().zip(table.column_iter_mut()) {
            shown.set_padding((0, GAP));
            if column.is_amount {
                shown.set_cell_alignment(CellAlignment::Right);
            }
            if !column.is_prose {
                shown.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        format!("{}\n", table.to_string().replace(NO_BREAK, " ")).lines().fold(
            String::new(),
            |mut lines, line| {
                lines.push_str(line.trim_end());
                lines.push('\n');
                lines
            },
        )
    }

    /// Pads amounts on the right, so that right alignment aligns their decimal points.
    fn align_points(&mut self) {
        for (index, _) in self.columns.iter().enumerate().filter(|(_, column)| column.is_amount) {
            let after_point = |text: &str| text.find('.').map_or(0, |point| text.len().saturating_sub(point));
            let cells = |row: &Vec<(String, Tone)>| row.get(index).map_or(0, |(text, _)| after_point(text));
            let widest = self.rows.iter().map(cells).max().unwrap_or_default();
            for (text, _) in self.rows.iter_mut().filter_map(|row| row.get_mut(index)) {
                if !text.is_empty() {
                    let missing = widest.saturating_sub(after_point(text));
                    text.extend(std::iter::repeat_n(NO_BREAK, missing));
                }
            }
        }
    }
}

impl Tone {
    fn cell(self, text: String) -> Cell {
        let cell = Cell::new_owned(text);
        match self {
            Self::Plain => cell,
            Self::Warning => cell.fg(Color::Yellow),
            Self::Alarm => cell.fg(Color::Red),
        }
    }
}
