//! Charts: inline SVG with a table as their text alternative.
//!
//! Crates for charts (plotters-svg, charming, poloto) write `style` attributes or need scripts. The page's policy
//! forbids both, and its colours come from classes, so that they follow the colour scheme of the reader. Two kinds of
//! charts need little code: a scale, axes, and the shapes.
//!
//! Positions are whole tenths of a unit of the drawing. They are computed from exact amounts without floating-point
//! numbers.

mod axes;
mod balance;
mod bars;
mod burn_down;
mod scale;

pub(crate) use balance::burn_down_of;
pub(crate) use bars::{Bar, Bars, COLOURS, bars};
pub(crate) use burn_down::{BurnDown, burn_down};
