//! The selected entries as a file, page by page.

use std::sync::Arc;

use axum::body::Body;
use flashgate_history::query::entries::Place;
use futures::stream::{self, StreamExt as _};

use super::sentence::sentence;
use crate::history::{AccountKey, History, HistoryError, Record, RecordPage, RecordQuery};
use crate::page::csv::{self, Cell};
use crate::portal::Portal;

/// Entries that are read at once, so that a file of any length needs little memory.
const PAGE: u32 = 500;

/// Names of the columns.
const COLUMNS: [&str; 6] = ["number", "time", "kind", "credits", "balance", "description"];

/// Returns the file of records that are known.
pub(super) fn of_records(portal: &Portal, records: &[Record]) -> Body {
    let mut file = csv::header(&COLUMNS);
    file.extend(lines(portal, records));
    Body::from(file)
}

/// Returns the file of all records of a history that `query` selects. Its lines are sent as they are read. If the history
/// fails after the first page, the transfer fails too.
///
/// # Errors
/// When the first page cannot be read.
pub(super) async fn of_history(
    portal: &Portal,
    history: Arc<dyn History>,
    key: AccountKey,
    query: RecordQuery,
) -> Result<Body, HistoryError> {
    let query = RecordQuery { place: Place::Newest, limit: PAGE, ..query };
    let first = history.records(&key, &query).await?;
    let portal = portal.clone();
    let mut start = csv::header(&COLUMNS);
    start.extend(lines(&portal, &first.records));
    let rest = stream::try_unfold(next(&first), move |after| {
        let (portal, history, key) = (portal.clone(), Arc::clone(&history), key.clone());
        let query = query.clone();
        async move {
            let Some(place) = after else { return Ok::<_, HistoryError>(None) };
            let page = history.records(&key, &RecordQuery { place, ..query }).await?;
            Ok(Some((lines(&portal, &page.records), next(&page))))
        }
    });
    Ok(Body::from_stream(stream::once(async { Ok(start) }).chain(rest)))
}

/// Returns the place of the page after a page, if there is one.
fn next(page: &RecordPage) -> Option<Place> {
    page.records.last().filter(|_| page.has_more).map(|record| Place::Before(record.number))
}

fn lines(portal: &Portal, records: &[Record]) -> Vec<u8> {
    let cells = |record: &Record| {
        vec![
            Cell::Number(record.number.to_string()),
            Cell::text(&record.time.to_string()),
            Cell::text(record.kind()),
            record.credits().map_or_else(|| Cell::text(""), Cell::credits),
            Cell::credits(record.balance),
            Cell::text(&sentence(portal.catalog(), record)),
        ]
    };
    let rows: Vec<Vec<Cell>> = records.iter().map(cells).collect();
    csv::lines(rows.iter().map(Vec::as_slice))
}
