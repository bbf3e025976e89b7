//! The laws of billing.md, played as lives of accounts: its cases by number, then more of each law.

#[path = "laws/cases.rs"]
mod cases;
#[path = "laws/kit.rs"]
mod kit;
