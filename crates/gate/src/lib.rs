//! The gate: answers whether an account may spend, from memory.
//!
//! Proxies ask before they let a request through. The gate keeps the state of every account from a watch of
//! Subscriptions. It makes no call for a request and never writes.
//!
//! | question | module |
//! |---|---|
//! | Which part of a Subscription is read? | [`decode`], [`account`] |
//! | Which accounts are known, and which API keys do they have? | [`accounts`], [`table`], [`compact_name`], [`names`], [`api_keys`], [`key_hash`] |
//! | Which account does a request name? | [`lookup`], [`template`], [`account_name`] |
//! | May it spend, and how is that answered? | [`decision`], [`answer`] |
//! | How is the gate asked? | [`http`], [`grpc`] |
//! | How does the state stay up to date? | [`watch`], [`freshness`] |
//! | What is configured and measured? | [`configuration`], [`gate`], [`figures`] |

pub mod account;
pub mod account_name;
pub mod accounts;
pub mod answer;
pub mod api_keys;
pub mod compact_name;
pub mod configuration;
pub mod decision;
pub mod decode;
pub mod figures;
pub mod freshness;
pub mod gate;
pub mod grpc;
pub mod http;
pub mod key_hash;
pub mod lookup;
pub mod names;
pub mod table;
pub mod template;
pub mod watch;

#[cfg(test)]
mod tests;
