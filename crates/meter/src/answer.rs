//! Answers of the HTTP API of Prometheus, which Thanos, Mimir and VictoriaMetrics give as well.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::sample::{Sample, SampleError};

/// Characters of a body that an error quotes.
const QUOTED: usize = 200;

/// Labels of a series, with the name of the counter as `__name__`.
pub type Labels = BTreeMap<String, String>;

/// A series with its samples, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Labels.
    pub labels: Labels,
    /// Samples in the order of their times.
    pub samples: Vec<Sample>,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no answer.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The server refused the query: it is wrong, or it would read too many samples.
    #[error("the server refused the query: {kind}: {message}")]
    Refused {
        /// Kind of the error, such as `bad_data` or `execution`.
        kind: String,
        /// Message of the server.
        message: String,
    },
    /// The server does not accept the credentials.
    #[error("the server does not accept the credentials: status {status}: {body}")]
    Unauthorized {
        /// Status of the answer: 401 or 403.
        status: u16,
        /// Beginning of its body.
        body: String,
    },
    /// The server cannot answer now.
    #[error("the server cannot answer: status {status}: {body}")]
    Unavailable {
        /// Status of the answer.
        status: u16,
        /// Beginning of its body.
        body: String,
    },
    /// The body is not an answer of this API.
    #[error("status {status} with a body that is not an answer of Prometheus: {body}")]
    NotUnderstood {
        /// Status of the answer.
        status: u16,
        /// Beginning of its body.
        body: String,
    },
    /// The query returned something else than the expected type.
    #[error("the query returned a {0}: the counter and the selector must select series")]
    NotSeries(String),
    /// A series has a value that no counter has.
    #[error("the series {labels:?} is no counter")]
    NotACounter {
        /// Labels of the series.
        labels: Labels,
        /// The value.
        #[source]
        source: SampleError,
    },
}

impl AnswerError {
    /// Returns whether the server may answer the same query later, without a change of the query.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::Unauthorized { .. }
                | Self::Unavailable { .. }
                | Self::NotUnderstood { .. }
        )
    }
}

/// The body of every answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct Body<T> {
    data: Option<T>,
    error_type: Option<String>,
    error: Option<String>,
}

/// The result of a query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct Found<T> {
    result_type: String,
    result: Vec<T>,
}

/// The type of the result of a query, without the result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultType {
    result_type: String,
}

#[derive(Deserialize)]
struct Ranges<'a> {
    metric: Labels,
    #[serde(borrow, default)]
    values: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Instants<'a> {
    metric: Labels,
    #[serde(borrow)]
    value: Text<'a>,
}

/// A time and a value, as the answer has them. The value is borrowed from the body.
#[derive(Deserialize)]
struct Text<'a>(f64, #[serde(borrow)] Cow<'a, str>);

/// Reads the series of an answer to an instant query of a range of samples.
///
/// # Errors
/// When the server refused the query or cannot answer, or the body has another form.
pub fn ranges(status: u16, body: &str) -> Result<Vec<Series>, AnswerError> {
    let found: Vec<Ranges<'_>> = results(status, body, "matrix")?;
    found.into_iter().map(|found| series(status, body, found.metric, &found.values)).collect()
}

/// Reads the series of an answer to an instant query, each with one sample.
///
/// # Errors
/// When the server refused the query or cannot answer, or the body has another form.
pub fn instants(status: u16, body: &str) -> Result<Vec<Series>, AnswerError> {
    let found: Vec<Instants<'_>> = results(status, body, "vector")?;
    found.into_iter().map(|found| series(status, body, found.metric, &[found.value])).collect()
}

/// Reads the labels of the series of an answer to a request for series.
///
/// # Errors
/// When the server refused the request or cannot answer, or the body has another form.
pub fn label_sets(status: u16, body: &str) -> Result<Vec<Labels>, AnswerError> {
    data(status, body)?.ok_or_else(|| not_understood(status, body))
}

/// Returns the items of a result of the type `expected`.
fn results<'a, T: Deserialize<'a>>(
    status: u16,
    body: &'a str,
    expected: &str,
) -> Result<Vec<T>, AnswerError> {
    match data::<Found<T>>(status, body)? {
        Some(data) if data.result_type == expected => Ok(data.result),
        _ => match data::<ResultType>(status, body)? {
            Some(ResultType { result_type }) if result_type != expected => {
                Err(AnswerError::NotSeries(result_type))
            }
            _ => Err(not_understood(status, body)),
        },
    }
}

/// Returns the data of an answer, or nothing if they have another form.
fn data<'a, T: Deserialize<'a>>(status: u16, body: &'a str) -> Result<Option<T>, AnswerError> {
    let quoted = || body.chars().take(QUOTED).collect();
    if status == 200 {
        let parsed: Option<Body<T>> = serde_json::from_str(body).ok();
        return Ok(parsed.and_then(|parsed| parsed.data));
    }
    match serde_json::from_str(body) {
        // A query that is divided may end in time.
        Ok(Body::<serde::de::IgnoredAny> { error_type: Some(kind), error, .. }) if kind == "timeout" => {
            Err(AnswerError::Refused { kind, message: error.unwrap_or_default() })
        }
        _ if matches!(status, 401 | 403) => Err(AnswerError::Unauthorized { status, body: quoted() }),
        _ if status == 429 || status >= 500 => Err(AnswerError::Unavailable { status, body: quoted() }),
        Ok(Body::<serde::de::IgnoredAny> { error_type: Some(kind), error, .. }) => {
            Err(AnswerError::Refused { kind, message: error.unwrap_or_default() })
        }
        _ => Err(not_understood(status, body)),
    }
}

fn not_understood(status: u16, body: &str) -> AnswerError {
    AnswerError::NotUnderstood { status, body: body.chars().take(QUOTED).collect() }
}

/// Returns a series with its samples.
fn series(status: u16, body: &str, labels: Labels, values: &[Text<'_>]) -> Result<Series, AnswerError> {
    let mut samples = Vec::with_capacity(values.len());
    for Text(seconds, value) in values {
        let time = time(*seconds).ok_or_else(|| not_understood(status, body))?;
        match Sample::read(time, value) {
            Ok(sample) => samples.push(sample),
            Err(source) => return Err(AnswerError::NotACounter { labels, source }),
        }
    }
    samples.sort_by_key(|sample| sample.time);
    Ok(Series { labels, samples })
}

/// Returns the instant of a sample. Prometheus writes seconds with at most three decimals.
#[expect(clippy::cast_possible_truncation, reason = "a conversion of floating-point numbers saturates")]
fn time(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1_000.0).round() as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_times_and_values_of_the_answer() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"tokens_total","org":"acme"},
             "values":[[1772359200.123,"900"],[1772359215,"1e+06"]]},
            {"metric":{"org":"empty"},"values":[]}]},"warnings":["a part is missing"]}"#;
        let series = ranges(200, body).expect("series");
        assert_eq!(series[0].labels["org"], "acme");
        let samples: Vec<String> =
            series[0].samples.iter().map(|sample| format!("{} {}", sample.time, sample.value)).collect();
        assert_eq!(samples, ["2026-03-01T10:00:00.123Z 900", "2026-03-01T10:00:15Z 1000000"]);
        assert_eq!(series[1].samples, []);
    }

    #[test]
    fn instants_and_labels_are_read() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"org":"acme"},"value":[1772359200.123,"9.5"]}]}}"#;
        let found = instants(200, body).expect("series");
        assert_eq!(found[0].samples[0].value.to_string(), "9.5");
        assert_eq!(
            instants(200, r#"{"data":{"resultType":"scalar","result":[1,"1"]}}"#),
            Err(AnswerError::NotSeries("scalar".to_owned()))
        );
        let labels =
            label_sets(200, r#"{"status":"success","data":[{"__name__":"tokens_total","org":"acme"}]}"#);
        assert_eq!(labels.expect("labels")[0]["org"], "acme");
        assert!(label_sets(200, r#"{"status":"success","data":["acme"]}"#).is_err());
    }

    #[test]
    fn an_answer_that_cannot_be_used_says_why() {
        let refused = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#;
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let negative = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"org":"acme"},"values":[[1,"-1"]]}]}}"#;
        for (status, body, expected) in [
            (
                422,
                refused,
                "the server refused the query: execution: query processing would load too many samples",
            ),
            (503, refused, "the server cannot answer: status 503: "),
            (
                503,
                r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
                "the server refused the query: timeout: query timed out",
            ),
            (429, "slow down", "the server cannot answer: status 429: slow down"),
            (200, "<html>", "status 200 with a body that is not an answer of Prometheus: <html>"),
            (401, "who?", "the server does not accept the credentials: status 401: who?"),
            (404, "not found", "status 404 with a body that is not an answer of Prometheus: not found"),
            (200, vector, "the query returned a vector: "),
            (200, negative, "the series {\"org\": \"acme\"} is no counter"),
            (
                200,
                r#"{"status":"success","data":{"resultType":"matrix","result":[1]}}"#,
                "status 200 with a body",
            ),
        ] {
            let error = ranges(status, body).expect_err(body).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
