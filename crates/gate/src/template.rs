//! Templates that make the name of an account from headers and the path of a request.

use std::str::FromStr;

use http::HeaderName;
use percent_encoding::percent_decode_str;

use crate::account_name::MOST_BYTES;
use crate::lookup::{RequestHeaders, value};

/// A template such as `{header:x-team}/{header:x-org}` or `ai/{path:2}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Header(HeaderName),
    /// A segment of the path, from 1.
    Segment(usize),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace has no counterpart.
    #[error("'{{' and '}}' must enclose a placeholder: '{{header:NAME}}' or '{{path:N}}'")]
    Brace,
    /// A placeholder is not known.
    #[error(
        "'{{{0}}}' is no placeholder: use '{{header:NAME}}', such as '{{header:x-team}}', or '{{path:N}}', such as '{{path:2}}'"
    )]
    Placeholder(String),
    /// The name of a header is wrong.
    #[error(
        "'{{header:{0}}}' must have the name of a header: letters, digits and '-', such as '{{header:x-team}}'"
    )]
    Header(String),
    /// The number of a segment is wrong.
    #[error(
        "'{{path:{0}}}' must have the number of a segment of the path, from 1: '{{path:2}}' is 'acme' of '/ai/acme/chat'"
    )]
    Segment(String),
    /// A character that no account has.
    #[error(
        "'{0}' is in no name of an account: outside of placeholders use lower-case letters, digits, '-', '.' and one '/'"
    )]
    Character(char),
    /// It cannot give `namespace/name`.
    #[error(
        "must give namespace/name: one '/' between two parts that are not empty, such as '{{header:x-team}}/{{header:x-org}}' or 'ai/{{path:2}}'"
    )]
    Parts,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = rest.split_at(rest.find(['{', '}']).unwrap_or(rest.len()));
            if !before.is_empty() {
                pieces.push(literal(before)?);
            }
            rest = after;
            if !rest.is_empty() {
                let inner = rest.strip_prefix('{').ok_or(TemplateError::Brace)?;
                let (inner, after) = inner.split_once('}').ok_or(TemplateError::Brace)?;
                pieces.push(placeholder(inner)?);
                rest = after;
            }
        }
        let template = Self { pieces };
        if template.can_name_an_account() { Ok(template) } else { Err(TemplateError::Parts) }
    }
}

fn literal(text: &str) -> Result<Piece, TemplateError> {
    let is_allowed = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.' | '/')
    };
    match text.chars().find(|letter| !is_allowed(*letter)) {
        Some(letter) => Err(TemplateError::Character(letter)),
        None => Ok(Piece::Text(text.to_owned())),
    }
}

fn placeholder(inner: &str) -> Result<Piece, TemplateError> {
    if inner.contains('{') {
        return Err(TemplateError::Brace);
    }
    match inner.split_once(':') {
        Some(("header", name)) => HeaderName::from_bytes(name.as_bytes())
            .map(Piece::Header)
            .map_err(|_| TemplateError::Header(name.to_owned())),
        Some(("path", number)) => match number.parse() {
            Ok(number) if number > 0 => Ok(Piece::Segment(number)),
            _ => Err(TemplateError::Segment(number.to_owned())),
        },
        _ => Err(TemplateError::Placeholder(inner.to_owned())),
    }
}

impl Template {
    /// Returns whether the template has a part of the path.
    #[must_use]
    pub fn needs_path(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Segment(_)))
    }

    /// Returns the text for a request, or nothing if a header is absent, empty or ambiguous, or a segment is absent.
    /// The text is not checked further.
    #[must_use]
    pub fn expand(&self, headers: &impl RequestHeaders, path: Option<&str>) -> Option<String> {
        let mut text = String::with_capacity(64);
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Header(name) => text.push_str(value(headers, name)?),
                Piece::Segment(number) => text.push_str(&segment(path?, *number)?),
            }
            if text.len() > MOST_BYTES {
                return None;
            }
        }
        Some(text)
    }

    /// Returns whether the text can have one '/' between two parts. A header can have it, but a segment cannot.
    fn can_name_an_account(&self) -> bool {
        let literals: String = self.pieces.iter().filter_map(Piece::text).collect();
        let has_header = self.pieces.iter().any(|piece| matches!(piece, Piece::Header(_)));
        let starts = self.pieces.first().and_then(Piece::text).is_some_and(|text| text.starts_with('/'));
        let ends = self.pieces.last().and_then(Piece::text).is_some_and(|text| text.ends_with('/'));
        match literals.matches('/').count() {
            0 => has_header,
            1 => !starts && !ends,
            _ => false,
        }
    }
}

impl Piece {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Header(_) | Self::Segment(_) => None,
        }
    }
}

/// Returns a segment of a path, from 1, decoded once: a server behind the gate decodes it too, so an encoded name must not
/// count as another account. An encoded '/' would be ambiguous, so it is in no segment.
fn segment(path: &str, number: usize) -> Option<String> {
    let path = path.split(['?', '#']).next()?.strip_prefix('/')?;
    let encoded = path.split('/').nth(number.checked_sub(1)?)?;
    let segment = percent_decode_str(encoded).decode_utf8().ok()?;
    (!segment.is_empty() && !segment.contains('/')).then(|| segment.into_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn expanded(template: &str, headers: &[(&'static str, &str)], path: Option<&str>) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("value"));
        }
        template.parse::<Template>().expect(template).expand(&map, path)
    }

    #[test]
    fn placeholders_are_replaced() {
        let headers = [("x-team", "ai"), ("x-org", "acme")];
        let path = Some("/v1/acme/chat?model=x");
        for (template, text) in [
            ("{header:x-team}/{header:X-Org}", "ai/acme"),
            ("ai/{path:2}", "ai/acme"),
            ("{path:2}/{path:1}", "acme/v1"),
            ("team-{header:x-team}.{path:1}/org-{path:3}", "team-ai.v1/org-chat"),
            ("{header:x-team}", "ai"),
            ("ai/acme", "ai/acme"),
        ] {
            assert_eq!(expanded(template, &headers, path).as_deref(), Some(text), "{template}");
        }
    }

    #[test]
    fn an_absent_empty_or_ambiguous_part_gives_nothing() {
        let template = "{header:x-team}/{header:x-org}";
        assert_eq!(
            expanded(template, &[("x-team", "ai"), ("x-org", "acme")], None).as_deref(),
            Some("ai/acme")
        );
        for headers in [
            &[("x-team", "ai")][..],
            &[("x-team", "ai"), ("x-org", "")],
            &[("x-team", "ai"), ("x-org", "acme"), ("x-org", "acme")],
            &[("x-team", "ai"), ("x-org", "acme,other")],
            &[("x-team", "ai"), ("x-org", "äcme")],
        ] {
            assert_eq!(expanded(template, headers, None), None, "{headers:?}");
        }
        for path in [
            None,
            Some(""),
            Some("ai/acme"),
            Some("*"),
            Some("/ai"),
            Some("/ai/"),
            Some("/ai//x"),
            Some("/ai?/acme"),
        ] {
            assert_eq!(expanded("ai/{path:2}", &[], path), None, "{path:?}");
        }
        assert_eq!(expanded("ai/{path:1}", &[], Some(&format!("/{}", "x".repeat(400)))), None);
    }

    #[test]
    fn a_segment_is_decoded_once_and_the_path_is_not_normalized() {
        let segment = |path| expanded("ai/{path:2}", &[], Some(path));
        assert_eq!(segment("/v1/%61cme").as_deref(), Some("ai/acme"));
        assert_eq!(segment("/v1/%2561cme").as_deref(), Some("ai/%61cme"));
        assert_eq!(segment("/v1/../acme").as_deref(), Some("ai/.."));
        assert_eq!(segment("/./acme").as_deref(), Some("ai/acme"));
        assert_eq!(segment("//acme").as_deref(), Some("ai/acme"));
        assert_eq!(segment("/v1/a%2Fb"), None);
        assert_eq!(segment("/v1/%ff"), None);
    }

    #[test]
    fn other_texts_are_no_templates() {
        use TemplateError::{Brace, Character, Header, Parts, Placeholder, Segment};
        for (text, error) in [
            ("", Parts),
            ("acme", Parts),
            ("{path:1}", Parts),
            ("{path:1}{path:2}", Parts),
            ("/{path:1}", Parts),
            ("{header:x-a}/", Parts),
            ("{header:x-a}/b/{path:1}", Parts),
            ("//", Parts),
            ("{header:x-a/b", Brace),
            ("a}/b", Brace),
            ("a/{header:{path:1}}", Brace),
            ("a/{}", Placeholder(String::new())),
            ("a/{query:x}", Placeholder("query:x".to_owned())),
            ("a/{Header:x}", Placeholder("Header:x".to_owned())),
            ("a/{header}", Placeholder("header".to_owned())),
            ("a/{header:}", Header(String::new())),
            ("a/{header:x y}", Header("x y".to_owned())),
            ("a/{path:0}", Segment("0".to_owned())),
            ("a/{path:-1}", Segment("-1".to_owned())),
            ("a/{path:}", Segment(String::new())),
            ("a/{path:two}", Segment("two".to_owned())),
            ("Team/{path:1}", Character('T')),
            ("team /{path:1}", Character(' ')),
            ("tëam/{path:1}", Character('ë')),
            ("team_a/{path:1}", Character('_')),
        ] {
            assert_eq!(text.parse::<Template>(), Err(error), "{text}");
        }
    }

    #[test]
    fn the_errors_say_what_is_allowed() {
        let error = |text: &str| text.parse::<Template>().expect_err(text).to_string();
        assert_eq!(
            error("a/{query:x}"),
            "'{query:x}' is no placeholder: use '{header:NAME}', such as '{header:x-team}', or '{path:N}', such as '{path:2}'"
        );
        assert_eq!(
            error("{path:1}"),
            "must give namespace/name: one '/' between two parts that are not empty, such as \
             '{header:x-team}/{header:x-org}' or 'ai/{path:2}'"
        );
    }

    #[test]
    fn only_templates_with_segments_need_the_path() {
        assert!("ai/{path:2}".parse::<Template>().expect("template").needs_path());
        assert!(!"ai/{header:x-org}".parse::<Template>().expect("template").needs_path());
    }
}
