//! Tests of the laws in docs/laws.md: the cases by number, more cases of each law, and properties of every account.

mod arrival;
mod bounds;
mod cases;
mod gate;
mod lapse;
mod messages;
mod months;
mod packs;
mod payments;
mod periods;
mod properties;
mod receipts;
mod split;
mod statements;
mod usage;
