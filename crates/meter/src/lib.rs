//! Exact usage from counters of Prometheus.
//!
//! Over any stretch of time, the usage that is reported equals the increments of the counters. A window does not start
//! from a query at its boundary, but from the reading at which the window before it ended. So the sum telescopes: a late
//! sample is counted in the next window, and nothing is counted twice or lost.
//!
//! | question | module |
//! |---|---|
//! | What does Prometheus answer? | [`answer`] |
//! | What is a sample worth? | [`sample`] |
//! | What did a series count since its last reading? | [`count`] |
//! | How do readings travel in a report? | [`readings`] |
//! | When does the next window end? | [`window`] |
//! | Which lines does a report have? | [`lines`] |
//! | What is a report called? | [`name`] |

pub mod answer;
pub mod count;
pub mod lines;
pub mod name;
pub mod readings;
pub mod sample;
pub mod window;
