#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flashgate_billing_fuzz::ledger(bytes));
