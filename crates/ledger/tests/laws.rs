//! The laws of billing.md, played as lives of accounts: its cases by number, then more of each law.

#[path = "laws/arrival.rs"]
mod arrival;
#[path = "laws/books.rs"]
mod books;
#[path = "laws/bounds.rs"]
mod bounds;
#[path = "laws/cases.rs"]
mod cases;
#[path = "laws/kit.rs"]
mod kit;
#[path = "laws/lapse.rs"]
mod lapse;
#[path = "laws/messages.rs"]
mod messages;
#[path = "laws/packs.rs"]
mod packs;
#[path = "laws/payments.rs"]
mod payments;
#[path = "laws/periods.rs"]
mod periods;
#[path = "laws/receipts.rs"]
mod receipts;
#[path = "laws/usage.rs"]
mod usage;
