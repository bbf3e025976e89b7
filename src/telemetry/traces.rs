//! Traces: the spans of reconciles, sent by OTLP over gRPC. Only with the feature `otlp`.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer as _;

use super::{FurtherLayer, Logged};

/// Name of the service in traces, unless `OTEL_RESOURCE_ATTRIBUTES` says otherwise.
const SERVICE: &str = env!("CARGO_PKG_NAME");

/// Spans on their way to a collector.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends spans to the collector at `endpoint`, such as `http://collector:4317`.
    ///
    /// Must be called in the runtime that sends them.
    ///
    /// # Errors
    /// When the endpoint cannot be understood.
    pub fn to(endpoint: &str) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.with_context(|| {
            format!("`--otlp-endpoint` '{endpoint}' must be a URL such as 'http://collector:4317'")
        })?;
        let resource = Resource::builder_empty().with_service_name(SERVICE);
        let resource = resource.with_detector(Box::new(EnvResourceDetector::new())).build();
        Ok(Self(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
    }

    /// Returns the layer that receives spans from logging.
    #[must_use]
    pub fn layer(&self) -> FurtherLayer {
        tracing_opentelemetry::layer::<Logged>().with_tracer(self.0.tracer(SERVICE)).boxed()
    }

    /// Sends the remaining spans.
    ///
    /// # Errors
    /// When the collector does not accept them.
    pub fn end(self) -> anyhow::Result<()> {
        self.0.shutdown().context("the last spans could not be sent")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{EnvFilter, Registry, reload};

    use super::*;

    /// An empty SETTINGS frame. An HTTP/2 client needs no other reply before it sends.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// Reads from a client until its data contain `text`.
    async fn receives(listener: TcpListener, text: &[u8]) {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(&SETTINGS).await.expect("written");
        let mut received = Vec::new();
        while !received.windows(text.len()).any(|window| window == text) {
            let count = stream.read_buf(&mut received).await.expect("read");
            assert_ne!(count, 0, "the client left");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_span_reaches_the_collector_with_its_fields() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let traces = Traces::to(&endpoint).expect("traces");
        let (filter, _handle) = reload::Layer::new(EnvFilter::new("info"));
        let subscriber = Registry::default().with(filter).with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("reconcile", account = "the-account-of-this-test").in_scope(|| {});
        });
        let ends = tokio::task::spawn_blocking(move || traces.end());
        receives(listener, b"the-account-of-this-test").await;
        // The collector is gone without an answer, and the shutdown does not wait for one.
        drop(ends.await.expect("ended"));
    }

    #[tokio::test]
    async fn an_endpoint_that_is_no_url_is_refused_with_what_it_must_be() {
        let error = Traces::to("collector port 4317").expect_err("refused");
        assert!(format!("{error:#}").contains("must be a URL such as"), "{error:#}");
    }
}
