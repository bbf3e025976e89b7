//! Law 27: the credits of a report and rate by label groups. Unit tests of `split` have the bounds.

use flashgate_ledger::split::split;
use flashgate_ledger::{Credits, Quantity};
use flashgate_testing::values::credits;

#[test]
fn the_parts_of_a_charge_add_up_and_the_first_of_equal_groups_gets_the_next_unit() {
    let quantities = ["1", "1", "1"].map(|quantity| quantity.parse::<Quantity>().expect("quantity"));
    let parts = split(credits("0.00000001"), &quantities).expect("parts");
    assert_eq!(parts, ["0.000000004", "0.000000003", "0.000000003"].map(credits));
    assert_eq!(Credits::sum(parts), Ok(credits("0.00000001")));
}
