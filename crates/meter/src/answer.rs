//! Answers of the HTTP API of Prometheus, which Thanos, Mimir and VictoriaMetrics give as well.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::sample::{Sample, SampleError};

/// Characters of a body that an error quotes.
const QUOTED: usize = 200;

/// A series with its samples, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Labels, with the name of the counter as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Samples in the order of their times.
    pub samples: Vec<Sample>,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The server refused the query: it is wrong, or it would read too many samples.
    #[error("the server refused the query: {kind}: {message}")]
    Refused {
        /// Kind of the error, such as `bad_data` or `execution`.
        kind: String,
        /// Message of the server.
        message: String,
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
    /// The query returned something else than ranges of samples.
    #[error("the query returned a {0}: the counter and the selector must select series")]
    NotSeries(String),
    /// A series has a value that no counter has.
    #[error("the series {labels:?} is no counter")]
    NotACounter {
        /// Labels of the series.
        labels: BTreeMap<String, String>,
        /// The value.
        #[source]
        source: SampleError,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Ranges {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Reads the series of an answer to an instant query of a range of samples.
///
/// # Errors
/// When the server refused the query or cannot answer, or the body has another form.
pub fn read(status: u16, body: &str) -> Result<Vec<Series>, AnswerError> {
    let quoted: String = body.chars().take(QUOTED).collect();
    let parsed: Option<Body> = serde_json::from_str(body).ok();
    let not_understood = || AnswerError::NotUnderstood { status, body: quoted.clone() };
    match parsed {
        Some(Body { error_type: Some(kind), error, .. }) if matches!(status, 400..500) => {
            Err(AnswerError::Refused { kind, message: error.unwrap_or_default() })
        }
        _ if status == 429 || status >= 500 => Err(AnswerError::Unavailable { status, body: quoted }),
        Some(Body { data: Some(data), error_type: None, .. }) if status == 200 => {
            if data.result_type != "matrix" {
                return Err(AnswerError::NotSeries(data.result_type));
            }
            let ranges: Vec<Ranges> = serde_json::from_value(data.result).map_err(|_| not_understood())?;
            ranges.into_iter().map(|ranges| series(ranges).ok_or_else(not_understood)?).collect()
        }
        _ => Err(not_understood()),
    }
}

/// Returns a series, or nothing if a time is none.
fn series(ranges: Ranges) -> Option<Result<Series, AnswerError>> {
    let Ranges { metric: labels, values } = ranges;
    let mut samples = Vec::with_capacity(values.len());
    for (seconds, value) in values {
        match Sample::read(time(seconds)?, &value) {
            Ok(sample) => samples.push(sample),
            Err(source) => return Some(Err(AnswerError::NotACounter { labels, source })),
        }
    }
    samples.sort_by_key(|sample| sample.time);
    Some(Ok(Series { labels, samples }))
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
        let series = read(200, body).expect("series");
        assert_eq!(series[0].labels["org"], "acme");
        let samples: Vec<String> = series[0]
            .samples
            .iter()
            .map(|sample| format!("{} {}", sample.time, sample.value))
            .collect();
        assert_eq!(samples, ["2026-03-01T10:00:00.123Z 900", "2026-03-01T10:00:15Z 1000000"]);
        assert_eq!(series[1].samples, []);
    }

    #[test]
    fn an_answer_that_cannot_be_used_says_why() {
        let refused = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#;
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let negative = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"org":"acme"},"values":[[1,"-1"]]}]}}"#;
        for (status, body, expected) in [
            (422, refused, "the server refused the query: execution: query processing would load too many samples"),
            (503, refused, "the server cannot answer: status 503: "),
            (429, "slow down", "the server cannot answer: status 429: slow down"),
            (200, "<html>", "status 200 with a body that is not an answer of Prometheus: <html>"),
            (404, "not found", "status 404 with a body that is not an answer of Prometheus: not found"),
            (200, vector, "the query returned a vector: "),
            (200, negative, "the series {\"org\": \"acme\"} is no counter"),
            (200, r#"{"status":"success","data":{"resultType":"matrix","result":[1]}}"#, "status 200 with a body"),
        ] {
            let error = read(status, body).expect_err(body).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
