//! The options that `cargo test` passes to a test that has a `main` of its own.

/// The options of the usual test harness that `cargo test` and its callers give to every test.
#[derive(Debug, clap::Args)]
pub struct Harness {
    /// Names of tests; this test has none
    #[arg(hide = true)]
    names: Vec<String>,
    /// Lists the tests
    #[arg(long, hide = true)]
    list: bool,
    /// Shows the output of tests; this test always does
    #[arg(long, hide = true)]
    nocapture: bool,
}

impl Harness {
    /// Returns true if the caller requests other tests than this one.
    pub const fn asks_for_others(&self) -> bool {
        self.list || !self.names.is_empty()
    }
}
