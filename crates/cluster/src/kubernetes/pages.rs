//! Lists in pages that are bounded in bytes. Users determine the size of objects, and a page of large objects
//! must not exhaust the memory of the operator.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::api::{ListParams, Request};
use kube::client::Body;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{refusal, retry_after};
use crate::CallError;
use crate::trimmed::{ListMetadata, decode_list};

/// Largest page in bytes. Only a page of one object can be larger: the API server limits an object to about 1.5
/// MiB.
const PAGE_BYTES: usize = 4 << 20;

/// Intended size of a page in bytes.
const WANTED_BYTES: usize = PAGE_BYTES / 2;

/// Most objects of a page, and the number of objects of the first page.
const PAGE_OBJECTS: (u32, u32) = (500, 50);

/// Pages of all lists that can be received and decoded at the same time.
const PAGES_AT_ONCE: usize = 2;

/// A list in progress.
#[derive(Clone, Debug)]
pub struct Listing {
    url: String,
    selector: Option<String>,
    is_of_metadata: bool,
    limit: u32,
    /// Continue token of the next page. Absent at the beginning.
    pub continue_token: Option<String>,
}

impl Listing {
    /// Returns the list of all objects below `url` that `selector` selects.
    #[must_use]
    pub fn of(url: String, selector: Option<&str>) -> Self {
        let selector = selector.map(str::to_owned);
        Self { url, selector, is_of_metadata: false, limit: PAGE_OBJECTS.1, continue_token: None }
    }

    /// Returns this list with only the metadata of the objects.
    #[must_use]
    pub fn of_metadata(self) -> Self {
        Self { is_of_metadata: true, ..self }
    }

    /// Returns this list with pages of at most `limit` objects.
    #[must_use]
    pub fn with_limit(self, limit: u32) -> Self {
        Self { limit: limit.clamp(1, PAGE_OBJECTS.0), ..self }
    }

    /// Returns the number of objects to request for the next page.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    fn request(&self) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
        let params = ListParams {
            field_selector: self.selector.clone(),
            limit: Some(self.limit),
            continue_token: self.continue_token.clone(),
            ..ListParams::default()
        };
        let request = Request::new(self.url.clone());
        if self.is_of_metadata { request.list_metadata(&params) } else { request.list(&params) }
    }

    /// Adapts the size of the next pages to the size of an object, given `objects` that have `bytes` in total.
    fn adapt(&mut self, objects: usize, bytes: usize) {
        let fitting = WANTED_BYTES.saturating_mul(objects) / bytes.max(1);
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
        self.limit = fitting.min(self.limit.saturating_mul(2)).clamp(1, PAGE_OBJECTS.0);
    }
}

/// A reader of lists of the API server.
#[derive(Clone)]
pub struct Lister {
    client: Client,
    room: Arc<Semaphore>,
}

impl Lister {
    /// Returns a reader that uses `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, room: Arc::new(Semaphore::new(PAGES_AT_ONCE)) }
    }

    /// Reads the next page of `listing`, calls `take` with each object, and advances `listing`. Returns the
    /// metadata of the list. Its continue token is empty on the last page.
    ///
    /// # Errors
    /// Returns an error if the call fails. The same page can be requested again.
    pub async fn next_page<T>(
        &self,
        listing: &mut Listing,
        take: &mut (dyn FnMut(T) + Send),
    ) -> Result<ListMetadata, CallError>
    where
        T: for<'de> Deserialize<'de>,
    {
        let call = format!("list {}", listing.url);
        loop {
            let response = self.client.send(listing.request().map_err(|e| cut(&call, e))?.map(Body::from));
            let (head, body) = response.await.map_err(|error| cut(&call, error))?.into_parts();
            let room = self.room.acquire().await.map_err(|error| cut(&call, error))?;
            let most = if listing.limit == 1 { usize::MAX } else { PAGE_BYTES };
            let Some(text) = receive(body, most).await.map_err(|error| cut(&call, error))? else {
                listing.limit = (listing.limit / 4).max(1);
                continue;
            };
            if !head.status.is_success() {
                return Err(refusal(call, head.status.as_u16(), retry_after(&head.headers), &text));
            }
            let mut objects = 0;
            let metadata = decode_list(&text, &mut |item| {
                objects += 1;
                take(item);
            });
            let metadata = metadata.map_err(|source| CallError::Decode { call: call.clone(), source })?;
            drop(room);
            listing.adapt(objects, text.len());
            let token = metadata.continue_token.clone();
            listing.continue_token = Some(token).filter(|token| !token.is_empty());
            return Ok(metadata);
        }
    }
}

/// Receives a body of at most `most` bytes. Returns `None` and does not read the rest if it is larger.
async fn receive(mut body: Body, most: usize) -> Result<Option<Vec<u8>>, kube::Error> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if text.len().saturating_add(data.len()) > most {
            return Ok(None);
        }
        text.extend_from_slice(&data);
    }
    Ok(Some(text))
}

fn cut(call: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CallError {
    CallError::Transport { call: call.to_owned(), source: source.into() }
}
