//! The laws of docs/laws.md, played as lives of accounts: its cases by number, more of each law, and properties of every life.

mod arrival;
mod bounds;
mod cases;
mod kit;
mod lapse;
mod messages;
mod packs;
mod payments;
mod periods;
mod properties;
mod receipts;
mod statements;
mod usage;
