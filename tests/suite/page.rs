//! The Billing & Credits page in headless Chromium, on a real control plane with real operators.
//!
//! Visitors click and read; every function is tested with scripts and without them. Outside CI, a machine without a
//! browser skips these tests: see `control-plane/browser.sh`.

mod account;
mod attackers;
mod browser;
mod chromium;
mod foreign;
mod looks;
mod manifests;
mod packs;
mod pictures;
mod plans;
mod reports;
mod served;
mod settings;
mod sign_in;
mod states;
mod tab;

/// The parts of an account's page, below its path.
const PARTS: [&str; 8] = ["", "plan", "packs", "consumption", "invoices", "history", "rates", "settings"];
