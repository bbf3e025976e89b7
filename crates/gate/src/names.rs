//! Names of plans and reasons, each stored once.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

/// A name, with its form in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// The name as the value of a header, unless it cannot be one.
    pub header: Option<HeaderValue>,
}

/// The number of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameId(u16);

impl NameId {
    /// The number of no name.
    pub const NONE: Self = Self(u16::MAX);
}

/// All names. They are few, and they are never removed.
#[derive(Debug, Default)]
pub struct Names {
    names: Vec<Arc<Name>>,
    ids: HashMap<String, NameId>,
}

impl Names {
    /// Returns the number of a name, which is added if it is not known. There is room for 65,535 names; further ones
    /// are left out.
    pub fn id_of(&mut self, text: &str) -> NameId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = NameId(u16::try_from(self.names.len()).unwrap_or(NameId::NONE.0));
        if id != NameId::NONE {
            // Header values can have bytes above 127, but not all proxies accept them.
            let header = HeaderValue::from_str(text).ok().filter(|value| value.to_str().is_ok());
            self.names.push(Arc::new(Name { text: text.to_owned(), header }));
            self.ids.insert(text.to_owned(), id);
        }
        id
    }

    /// Returns the name with a number.
    #[must_use]
    pub fn get(&self, id: NameId) -> Option<Arc<Name>> {
        self.names.get(usize::from(id.0)).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number() {
        let mut names = Names::default();
        let (starter, pro) = (names.id_of("starter"), names.id_of("pro"));
        assert_ne!(starter, pro);
        assert_eq!(names.id_of("starter"), starter);
        assert_eq!(names.get(pro).expect("name").text, "pro");
        assert_eq!(names.get(NameId::NONE), None);
    }

    #[test]
    fn a_name_that_is_no_value_of_a_header_has_only_its_text() {
        let mut names = Names::default();
        for (text, is_legal) in [("starter", true), ("my plan", true), ("größer", false), ("a\nb", false)] {
            let id = names.id_of(text);
            assert_eq!(names.get(id).expect("name").header.is_some(), is_legal, "{text:?}");
        }
    }

    #[test]
    fn names_beyond_the_room_are_left_out() {
        let mut names = Names::default();
        for number in 0..usize::from(u16::MAX) {
            assert_ne!(names.id_of(&number.to_string()), NameId::NONE);
        }
        assert_eq!(names.id_of("one more"), NameId::NONE);
        assert_eq!(names.get(NameId::NONE), None);
        assert_eq!(names.get(names.ids["65534"]).expect("name").text, "65534");
    }
}
