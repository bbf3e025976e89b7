//! Tables as comma-separated values, for spreadsheets.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use flashgate_ledger::Credits;

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// A text. A spreadsheet never takes it for a formula.
    Text(String),
    /// A number as a plain decimal, such as `-12.5`.
    Number(String),
}

impl Cell {
    /// Returns a cell with a text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Returns a cell with an amount.
    pub(crate) fn credits(amount: Credits) -> Self {
        Self::Number(amount.to_string())
    }

    /// Returns the field for a spreadsheet. A text that begins like a formula gets a quotation mark before it.
    fn field(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
                format!("'{text}").into()
            }
            Self::Text(text) | Self::Number(text) => text.into(),
        }
    }
}

/// Returns the lines of rows.
pub(crate) fn lines<'a>(rows: impl IntoIterator<Item = &'a [Cell]>) -> Vec<u8> {
    let mut writer = ::csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        // A write to memory cannot fail.
        drop(writer.write_record(row.iter().map(Cell::field).map(Cow::into_owned)));
    }
    writer.into_inner().unwrap_or_default()
}

/// Returns the line of the names of columns.
pub(crate) fn header(columns: &[&str]) -> Vec<u8> {
    let cells: Vec<Cell> = columns.iter().copied().map(Cell::text).collect();
    lines([cells.as_slice()])
}

/// Returns a file for download. `name` consists of letters, digits, '.' and '-'.
pub(crate) fn file(name: &str, body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[Cell]) -> String {
        String::from_utf8(lines([cells])).expect("text")
    }

    #[test]
    fn a_text_that_begins_like_a_formula_gets_a_quotation_mark_and_a_number_does_not() {
        for (text, expected) in [
            ("=1+1", "'=1+1\n"),
            ("+49", "'+49\n"),
            ("-30", "'-30\n"),
            ("@SUM(A1)", "'@SUM(A1)\n"),
            ("\t=1", "'\t=1\n"),
            ("\r=1", "\"'\r=1\"\n"),
            ("media", "media\n"),
            ("a=1", "a=1\n"),
        ] {
            assert_eq!(written(&[Cell::text(text)]), expected, "{text:?}");
        }
        assert_eq!(written(&[Cell::credits("-12.5".parse().expect("amount"))]), "-12.5\n");
    }

    #[test]
    fn separators_quotation_marks_and_line_breaks_stay_within_their_field() {
        let cells = [Cell::text("a,b"), Cell::text("say \"hi\""), Cell::text("two\nlines"), Cell::text("")];
        assert_eq!(written(&cells), "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\n");
        assert_eq!(header(&["time", "credits"]), b"time,credits\n");
    }

    #[test]
    fn a_file_has_its_name() {
        let response = file("acme-history", Body::empty());
        assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"acme-history.csv\"");
        assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    }
}
