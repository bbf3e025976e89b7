//! What `cargo test` passes on to a test that has a `main` of its own.

/// Options of the usual harness, as far as `cargo test` and its callers give them to every test.
#[derive(Debug, clap::Args)]
pub struct Harness {
    /// Names of tests, of which there are none here
    #[arg(hide = true)]
    names: Vec<String>,
    /// Lists the tests
    #[arg(long, hide = true)]
    list: bool,
    /// Shows what tests print, as is done here anyhow
    #[arg(long, hide = true)]
    nocapture: bool,
}

impl Harness {
    /// Returns whether something else is asked for than to play.
    pub const fn asks_for_others(&self) -> bool {
        self.list || !self.names.is_empty()
    }
}
