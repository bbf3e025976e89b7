//! Links between the pages of a list that is newest first.

use maud::{Markup, html};

/// The addresses of other pages of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pager {
    /// The page with newer rows, if there is one.
    pub newer: Option<String>,
    /// The page with older rows, if there is one.
    pub older: Option<String>,
    /// The first page.
    pub newest: String,
}

/// The side of a list on which a page was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It is the first page.
    Newest,
    /// It has the rows before a row of a newer page.
    Before,
    /// It has the rows after a row of an older page.
    After,
}

impl Pager {
    /// Returns the links of a page. `ends` are the keys of its first and its last row, `has_more` says whether more rows
    /// follow on its side, and `address` returns the address of the page before or after a key.
    pub(crate) fn of(
        side: Side,
        has_more: bool,
        ends: Option<(String, String)>,
        address: impl Fn(Option<(&str, &str)>) -> String,
    ) -> Self {
        let newest = address(None);
        let (has_newer, has_older) = match side {
            Side::Newest => (false, has_more),
            Side::Before => (true, has_more),
            Side::After => (has_more, true),
        };
        let Some((first, last)) = ends else {
            // A page without rows leads back to the newest ones.
            return Self { newer: has_newer.then(|| newest.clone()), older: None, newest };
        };
        Self {
            newer: has_newer.then(|| address(Some(("after", &first)))),
            older: has_older.then(|| address(Some(("before", &last)))),
            newest,
        }
    }

    /// Returns the links, unless there is only one page.
    pub(crate) fn markup(&self) -> Markup {
        html! {
            @if self.newer.is_some() || self.older.is_some() {
                nav class="pager" aria-label="Pages" {
                    @if let Some(newer) = &self.newer { a class="button" rel="prev" href=(newer) { "Newer" } }
                    @if let Some(older) = &self.older { a class="button" rel="next" href=(older) { "Older" } }
                    @if self.newer.is_some() { a class="button quiet" href=(self.newest) { "Newest" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(side: Side, has_more: bool, has_rows: bool) -> (Option<String>, Option<String>) {
        let address = |further: Option<(&str, &str)>| {
            further.map_or_else(|| "/list".to_owned(), |(name, key)| format!("/list?{name}={key}"))
        };
        let ends = has_rows.then(|| ("9".to_owned(), "5".to_owned()));
        let pager = Pager::of(side, has_more, ends, address);
        (pager.newer, pager.older)
    }

    #[test]
    fn a_page_leads_to_its_neighbours() {
        let newer = Some("/list?after=9".to_owned());
        let older = Some("/list?before=5".to_owned());
        for (side, has_more, expected) in [
            (Side::Newest, false, (None, None)),
            (Side::Newest, true, (None, older.clone())),
            (Side::Before, false, (newer.clone(), None)),
            (Side::Before, true, (newer.clone(), older.clone())),
            (Side::After, false, (None, older.clone())),
            (Side::After, true, (newer.clone(), older.clone())),
        ] {
            assert_eq!(links(side, has_more, true), expected, "{side:?} {has_more}");
        }
        assert_eq!(links(Side::Before, false, false), (Some("/list".to_owned()), None));
        let single = Pager { newest: "/list".to_owned(), ..Pager::default() };
        assert_eq!(single.markup().into_string(), "");
    }
}
