//! Selectors of series, as texts of PromQL.

use std::fmt;

use crate::answer::Labels;

/// Name of the label that has the name of the counter.
pub const NAME: &str = "__name__";

/// The series of a counter that match all conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Name of the counter.
    pub counter: String,
    /// The conditions of the meter, without braces.
    pub given: String,
    /// Labels with the values that they must have. An empty value also selects series without the label.
    pub labels: Labels,
}

impl Selector {
    /// Returns the selector with one more label.
    #[must_use]
    pub fn with(&self, label: &str, value: &str) -> Self {
        let mut selector = self.clone();
        selector.labels.insert(label.to_owned(), value.to_owned());
        selector
    }

    /// Returns the selector of one series by all its labels. Other series with further labels can match as well.
    #[must_use]
    pub fn of_series(counter: &str, labels: &Labels) -> Self {
        let mut labels = labels.clone();
        labels.remove(NAME);
        Self { counter: counter.to_owned(), given: String::new(), labels }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.given.trim().trim_end_matches(',');
        let labels = self.labels.iter().map(|(label, value)| format!("{label}={}", quoted(value)));
        let conditions: Vec<String> =
            Some(given.to_owned()).filter(|given| !given.is_empty()).into_iter().chain(labels).collect();
        write!(formatter, "{}{{{}}}", self.counter, conditions.join(","))
    }
}

/// Returns the text as PromQL quotes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_the_meter_and_labels_are_joined() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
        };
        let selector = Selector {
            counter: "tokens_total".to_owned(),
            given: r#"type="output", "#.to_owned(),
            labels: labels(&[]),
        };
        assert_eq!(selector.to_string(), r#"tokens_total{type="output"}"#);
        assert_eq!(
            selector.with("org", "a\"b\\c\nd").to_string(),
            r#"tokens_total{type="output",org="a\"b\\c\nd"}"#
        );
        let series = labels(&[("__name__", "tokens_total"), ("org", "acme"), ("pod", "")]);
        let selector = Selector::of_series("tokens_total", &series);
        assert_eq!(selector.to_string(), r#"tokens_total{org="acme",pod=""}"#);
        let all = Selector { counter: "up".to_owned(), given: String::new(), labels: labels(&[]) };
        assert_eq!(all.to_string(), "up{}");
    }
}
