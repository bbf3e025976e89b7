//! Identifiers of checkout sessions: the number of an invoice, or what stands for it before there is one.

/// The session of an order or a change without an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session<'a> {
    /// An order of a pack, by the name of its CreditPack.
    Order(&'a str),
    /// A change of the plan, by the generation of the Subscription that requested it.
    Change(i64),
    /// A change to a free plan, likewise.
    Free(i64),
    /// An invoice, by its number.
    Invoice(&'a str),
}

/// Returns the session that an identifier names. Each text names one.
#[must_use]
pub fn parse(id: &str) -> Session<'_> {
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number > 0);
    if let Some(generation) = id.strip_prefix("free_sub_").and_then(number) {
        return Session::Free(generation);
    }
    if let Some(generation) = id.strip_prefix("change_").and_then(number) {
        return Session::Change(generation);
    }
    // Numbers of invoices have no '_'.
    id.strip_prefix("pack_").map_or(Session::Invoice(id), Session::Order)
}

/// Returns the session of an order without an invoice.
#[must_use]
pub fn of_order(name: &str) -> String {
    format!("pack_{name}")
}

/// Returns the session of a change of the plan without an invoice.
#[must_use]
pub fn of_change(generation: i64, is_free: bool) -> String {
    if is_free { format!("free_sub_{generation}") } else { format!("change_{generation}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_is_parsed_back() {
        assert_eq!(parse(&of_order("acme-01aryz")), Session::Order("acme-01aryz"));
        assert_eq!(parse(&of_change(7, false)), Session::Change(7));
        assert_eq!(parse(&of_change(7, true)), Session::Free(7));
        for invoice in ["acme-1f3a9c2e-0007", "change_x", "free_sub_-1", "change_0", ""] {
            assert_eq!(parse(invoice), Session::Invoice(invoice));
        }
    }
}
