//! The width of text for a terminal.

/// Width of a table that is written to a file or pipe, in characters.
const PLAIN_WIDTH: u16 = 100;

/// Narrowest and widest table on a terminal, in characters.
const TERMINAL_WIDTHS: (u16, u16) = (80, 140);

/// Returns the characters in a line of standard output.
pub fn width() -> u16 {
    let (narrowest, widest) = TERMINAL_WIDTHS;
    comfy_table::Table::new().width().map_or(PLAIN_WIDTH, |width| width.clamp(narrowest, widest))
}
