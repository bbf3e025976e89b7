//! Exact usage from counters of Prometheus.
//!
//! Over any stretch of time, the usage that is reported equals the increments of the counters. A window does not start
//! from a query at its boundary, but from the reading at which the window before it ended. So the sum telescopes: a late
//! sample is counted in the next window, and nothing is counted twice or lost.
//!
//! | question | module |
//! |---|---|
//! | What does Prometheus answer? | [`answer`], [`server`], [`http`] |
//! | Which series does a query select? | [`selector`] |
//! | What is a sample worth? | [`sample`] |
//! | What did a series count since its last reading? | [`count`] |
//! | How do readings travel in a report? | [`readings`] |
//! | Where does the next window of an account start? | [`cursor`] |
//! | When does it end? | [`window`] |
//! | What did an account use in a window? | [`close`] |
//! | Which lines does a report have, and what is it called? | [`lines`], [`name`], [`report`] |
//! | Which windows are due, and how are they closed? | [`windows`], [`meter`] |
//! | What does the spec of a meter say, and what its status? | [`terms`], [`status`] |
//! | Which calls to Kubernetes does the meter make? | [`cluster`], [`kubernetes`] |
//! | Which meters run, and which servers can they name? | [`run`], [`watched`], [`figures`], [`configuration`] |

pub mod account;
pub mod answer;
pub mod close;
pub mod cluster;
pub mod configuration;
pub mod count;
pub mod cursor;
pub mod figures;
pub mod http;
pub mod kubernetes;
pub mod lines;
pub mod meter;
pub mod name;
pub mod readings;
pub mod report;
pub mod run;
pub mod sample;
pub mod selector;
pub mod server;
pub mod status;
pub mod terms;
pub mod watched;
pub mod window;
pub mod windows;
