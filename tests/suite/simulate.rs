//! `flashgate-billing simulate` as people and programs use it, without a control plane.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/simulate").join(name)
}

/// Returns a manifest, with the time at which it is applied.
fn manifest(kind: &str, name: &str, at: Option<&str>, spec: &str) -> String {
    let at =
        at.map(|at| format!(", annotations: {{billing.flashgate.dev/at: \"{at}\"}}")).unwrap_or_default();
    format!(
        "---\n{{apiVersion: billing.flashgate.dev/v1alpha1, kind: {kind}, metadata: {{name: {name}{at}}}, spec: \
         {{{spec}}}}}\n"
    )
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn simulate(arguments: &[&str], manifests: &str) -> Ran {
    let mut command = Command::cargo_bin("flashgate-billing").expect("is built");
    let output = command.arg("simulate").args(arguments).write_stdin(manifests).output().expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

const START: Option<&str> = Some("2026-01-15T09:00:00Z");

#[test]
fn json_output_has_every_object_and_every_entry() {
    let file = case("case-02-rates.yaml");
    let ran = simulate(&[&file.display().to_string(), "-o", "json"], "");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let document: Value = serde_json::from_str(&ran.stdout).expect("is JSON");
    let kinds: Vec<_> =
        document["objects"].as_array().expect("objects").iter().map(|object| &object["kind"]).collect();
    assert_eq!(kinds, ["Subscription", "UsageReport", "CreditLedger"]);
    let entries = document["entries"].as_array().expect("entries");
    let last = entries.last().expect("an entry");
    assert_eq!(
        (&last["kind"], &last["credits"], &last["balance"]),
        (&"Charged".into(), &"-370".into(), &"730".into())
    );
    assert_eq!(
        (&last["subscription"], &last["detail"]["object"]),
        (&"default/acme".into(), &"UsageReport/first".into())
    );
}

#[test]
fn yaml_output_equals_json_output() {
    let file = case("case-12-debt.yaml").display().to_string();
    let json: Value = serde_json::from_str(&simulate(&[&file, "-o", "json"], "").stdout).expect("is JSON");
    let yaml: Value = serde_yaml::from_str(&simulate(&[&file, "-o", "yaml"], "").stdout).expect("is YAML");
    assert_eq!(json, yaml);
}

#[test]
fn the_table_is_the_golden_statement_and_has_no_color_without_a_terminal() {
    let file = case("case-14-burn-order.yaml").display().to_string();
    let golden = std::fs::read_to_string(case("case-14-burn-order.txt")).expect("is there");
    assert_eq!(simulate(&[&file, "--events"], "").stdout, golden);
    let end = golden.split_once("AS OF").map(|(_, end)| format!("AS OF{end}")).expect("has an end");
    assert_eq!(simulate(&[&file], "").stdout, end);
}

#[test]
fn four_of_thirty_documents_applied_at_once_are_packs_and_three_are_granted() {
    let mut manifests = manifest("Subscription", "acme", START, "plan: starter");
    for pack in ["delta", "bravo", "alpha", "charlie"] {
        manifests += &manifest("CreditPack", pack, None, "subscriptionRef: {name: acme}, pack: plus-100");
    }
    for report in 0..25 {
        let window = format!(
            "{{startTime: \"2026-01-15T08:00:00Z\", endTime: \"2026-01-15T09:00:00Z\"}}, source: gw-{report}"
        );
        let usage = "usage: [{nodeType: Private, operation: StorageEgress, quantity: 1G}]";
        let spec = format!("subscriptionRef: {{name: acme}}, window: {window}, {usage}");
        manifests += &manifest("UsageReport", &format!("r-{report}"), None, &spec);
    }
    let first = simulate(&["-", "-o", "json"], &manifests);
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    let document: Value = serde_json::from_str(&first.stdout).expect("is JSON");
    let packs = document["objects"]
        .as_array()
        .expect("objects")
        .iter()
        .filter(|object| object["kind"] == "CreditPack");
    let states: Vec<_> = packs.map(|pack| &pack["status"]["state"]).collect();
    assert_eq!(states, ["Granted", "Granted", "Granted", "Refused"]);
    assert_eq!(simulate(&["-", "-o", "json"], &manifests).stdout, first.stdout);
}

#[test]
fn invalid_input_exits_with_2_and_prints_only_the_reason() {
    let subscription = manifest("Subscription", "acme", START, "plan: starter");
    let untimed = manifest("CreditPack", "extra", None, "subscriptionRef: {name: acme}, pack: plus-100");
    let earlier = manifest("Subscription", "other", Some("2026-01-15T08:00:00Z"), "plan: starter");
    let wrong = manifest("Subscription", "other", None, "plan: starter, billingPeriod: Weekly");
    let pod = subscription.replace("kind: Subscription", "kind: Pod");
    let changed = untimed.replace("plus-100", "plus-500");
    let refused = [
        (
            untimed.clone(),
            "the first document must say when it is applied: run `simulate` with `--from 2026-01-31",
        ),
        (String::new(), "- holds no object; must hold at least one"),
        ("---\n# nothing\n---\n".to_owned(), "- holds no object; must hold at least one"),
        (
            subscription.replace("T09:00:00Z", "T23:59:60Z"),
            "is '2026-01-15T23:59:60Z'; must be a time in whole seconds",
        ),
        (format!("{subscription}{earlier}"), "must not be earlier"),
        (format!("{subscription}{wrong}"), "document 2: Subscription default/other: spec.billingPeriod"),
        (pod, "cannot be simulated; must be"),
        (format!("{subscription}{untimed}{changed}"), "must not change after creation"),
        (format!("{subscription}---\nkind: ["), "-:4: document 2: must be YAML or JSON"),
    ];
    for (manifests, reason) in refused {
        let ran = simulate(&["-", "-o", "json"], &manifests);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{reason}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(reason), "{reason}: {}", ran.stderr);
    }
}

#[test]
fn from_sets_the_time_of_the_documents_before_the_first_with_a_time() {
    let undated = manifest("Subscription", "acme", None, "plan: starter");
    let dated = manifest("Subscription", "acme", START, "plan: starter");
    let with_from = simulate(&["-", "-o", "json", "--from", "2026-01-15T09:00:00Z"], &undated);
    let with_annotation = simulate(&["-", "-o", "json"], &dated);
    let entries = |ran: &Ran| serde_json::from_str::<Value>(&ran.stdout).expect("is JSON")["entries"].clone();
    assert_eq!((with_from.code, entries(&with_from)), (Some(0), entries(&with_annotation)));
    let late = simulate(&["-", "--from", "2026-02-15T09:00:00Z"], &dated);
    assert_eq!(late.code, Some(2));
    assert!(late.stderr.contains("`--from` is 2026-02-15T09:00:00Z; must not be earlier"), "{}", late.stderr);
}

#[test]
fn an_octal_number_is_read_as_kubectl_reads_it_with_a_note() {
    let window = "{startTime: \"2026-01-15T09:00:00Z\", endTime: \"2026-01-15T10:00:00Z\"}";
    let usage = "[{nodeType: Public, operation: TokensOut, quantity: 0777}]";
    let spec = format!("subscriptionRef: {{name: acme}}, source: gw, window: {window}, usage: {usage}");
    let manifests =
        [manifest("Subscription", "acme", START, "plan: starter"), manifest("UsageReport", "r", None, &spec)]
            .concat();
    let ran = simulate(&["-", "-o", "json", "--until", "2026-01-15T10:00:00Z"], &manifests);
    assert!(ran.stdout.contains("\"-0.511\""), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("note: -:4: `0777` begins with 0, so kubectl reads it as the octal number 511"),
        "{}",
        ran.stderr
    );
}

#[test]
fn files_of_any_operating_system_are_read_and_binary_files_are_rejected() {
    let folder = folder_of_this_run();
    let write = |name: &str, content: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, content).expect("is written");
        file.display().to_string()
    };
    let text = manifest("Subscription", "acme", START, "plan: starter");
    let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let expected = simulate(&["-", "-o", "json"], &text).stdout;
    for (name, content) in [
        ("crlf.yaml", text.replace('\n', "\r\n").into_bytes()),
        ("cr.yaml", text.replace('\n', "\r").into_bytes()),
        ("bom.yaml", format!("\u{feff}{text}").into_bytes()),
        ("utf16.yaml", utf16),
    ] {
        let ran = simulate(&[&write(name, &content), "-o", "json"], "");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), expected.as_str()), "{name}: {}", ran.stderr);
    }
    let refused = [
        (write("bytes.yaml", b"kind: A\nname: \xff\n"), "line 2 is not UTF-8; save the file as UTF-8"),
        (folder.display().to_string(), "it is a folder; name its files"),
        (write("nul.yaml", b"kind: A\nname: x\0\n"), "nul.yaml:2: document 1: must be YAML or JSON"),
    ];
    for (file, reason) in refused {
        let ran = simulate(&[&file], "");
        assert_eq!(ran.code, Some(2), "{file}");
        assert!(ran.stderr.contains(reason), "{reason}: {}", ran.stderr);
    }
}

/// Returns a folder for the files of one run.
fn folder_of_this_run() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("is created");
    folder
}

#[test]
fn wrong_arguments_exit_with_2_and_list_the_allowed_values() {
    let missing = simulate(&["does-not-exist.yaml"], "");
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("cannot read does-not-exist.yaml"), "{}", missing.stderr);
    let until = simulate(&["-", "--until", "tomorrow"], "");
    assert_eq!(until.code, Some(2));
    assert!(until.stderr.contains("must be a time in whole seconds"), "{}", until.stderr);
    assert_eq!(simulate(&[], "").code, Some(2));
}
