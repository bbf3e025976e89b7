//! Each tool reports the health of each recorded object as the table of conditions says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::states::{KINDS, Row, STATES};
use super::{customizations, verdicts, yaml};

fn recordings() -> Vec<PathBuf> {
    STATES.iter().map(super::states::State::file).collect()
}

#[test]
fn kstatus_reports_each_state_as_the_table_says() {
    for (state, verdict) in STATES.iter().zip(verdicts(&["kstatus"], &recordings())) {
        assert_eq!(verdict["status"], state.row.kstatus(), "{} {}: {verdict}", state.kind, state.name);
    }
}

#[test]
fn the_health_expressions_for_flux_agree_with_kstatus() {
    let kustomization = "examples/flux/team.yaml";
    // A ledger is never in Git, so it has no expression. Flux has no state for an object that is being
    // deleted.
    let asked = STATES.iter().filter(|state| state.kind != "CreditLedger" && state.row != Row::Deleting);
    let asked: Vec<_> = asked.collect();
    let files: Vec<PathBuf> = asked.iter().map(|state| state.file()).collect();
    for (state, verdict) in asked.iter().zip(verdicts(&["flux", kustomization], &files)) {
        assert_eq!(verdict["status"], state.row.kstatus(), "{} {}: {verdict}", state.kind, state.name);
    }
}

#[test]
fn argo_cd_reports_each_state_as_the_table_says() {
    for kind in KINDS {
        let script = customizations(kind).join("health.lua").display().to_string();
        for state in STATES.iter().filter(|state| state.kind == kind) {
            let verdict = verdicts(&["lua", &script], &[state.file()]).remove(0);
            assert_eq!(verdict["status"], state.row.argo_cd(), "{kind} {}: {verdict}", state.name);
        }
    }
}

#[test]
fn every_health_test_of_the_layout_passes() {
    for kind in KINDS {
        let folder = customizations(kind);
        let script = folder.join("health.lua").display().to_string();
        let tests = yaml(&folder.join("health_test.yaml"));
        let tests = tests["tests"].as_array().expect("tests").clone();
        let inputs = tests.iter().map(|test| folder.join(test["inputPath"].as_str().expect("path")));
        let inputs: Vec<PathBuf> = inputs.collect();
        for (test, verdict) in tests.iter().zip(verdicts(&["lua", &script], &inputs)) {
            assert_eq!(verdict, test["healthStatus"], "{kind} {}", test["inputPath"]);
        }
        let recorded = fs::read_dir(folder.join("testdata")).expect("folder");
        let recorded = recorded.map(|entry| entry.expect("entry").path()).collect::<BTreeSet<_>>();
        assert_eq!(recorded, inputs.into_iter().collect(), "each recording of {kind} has its test");
    }
}

#[test]
fn kinds_with_the_same_conditions_have_the_same_script() {
    let script = |kind: &str| fs::read_to_string(customizations(kind).join("health.lua")).expect("script");
    for kind in ["UsageReport", "Payment", "CreditAdjustment"] {
        assert!(script(kind) == script("CreditPack"), "the script of {kind} is not that of CreditPack");
    }
    let (account, pack) = (script("Subscription"), script("CreditPack"));
    let shared = pack.split("if holds(\"Ready\")").next().expect("beginning");
    assert!(account.starts_with(shared), "the script of Subscription must begin like the other scripts");
}

#[test]
fn scripts_check_the_generation_before_any_condition_and_need_no_library() {
    for kind in KINDS {
        let script = fs::read_to_string(customizations(kind).join("health.lua")).expect("script");
        assert!(script.contains("kstatus"), "{kind}: the script must name kstatus");
        for library in ["string.", "math.", "os.", "io.", "require"] {
            assert!(!script.contains(library), "{kind} must not use {library}");
        }
        if kind != "CreditLedger" {
            let generation = script.find("obj.status.observedGeneration").expect("generation");
            assert!(generation < script.find("conditions[").expect("conditions"), "{kind}");
        }
    }
}
