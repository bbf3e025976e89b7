//! Compares the output on pages and in golden scenarios with the real output.
//!
//! In a block of kind `console`, the lines below `$ flashgate-billing simulate …` (or `catalog …`) are the
//! output of that command in the project folder. A line `...` stands for any number of lines. A scenario is a
//! file of manifests in `tests/golden/lives` that begins with a description and a command. Its expected
//! output is beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flashgate_ledger::Credits;
use serde_json::Value;

use crate::world::root;

/// The prompts of commands in a page.
const PROMPTS: [&str; 2] = ["$ flashgate-billing ", "$ cargo run -- "];

/// The prompt of the command in a scenario.
const SCENARIO_PROMPT: &str = "# $ flashgate-billing ";

/// Commands that need no cluster.
const OFFLINE: [&str; 2] = ["simulate ", "catalog "];

/// Returns the output of the program in the project folder.
fn printed(arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"))
        .args(arguments.split_whitespace())
        .current_dir(root())
        .output()
        .expect("runs");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A command on a page, and the lines below it.
struct Shown {
    arguments: String,
    output: Vec<String>,
}

/// Returns the commands in a page's blocks of kind `console` that need no cluster.
fn shown_commands(page: &str) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    let (mut is_console, mut is_shown) = (false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            (is_console, is_shown) = (line == "```console", false);
        } else if is_console && line.starts_with("$ ") {
            let arguments = PROMPTS.iter().find_map(|prompt| line.strip_prefix(prompt));
            let offline = arguments.filter(|text| OFFLINE.iter().any(|command| text.starts_with(command)));
            is_shown = offline.is_some();
            let shown = |text: &str| Shown { arguments: text.to_owned(), output: Vec::new() };
            commands.extend(offline.map(shown));
        } else if is_shown && let Some(command) = commands.last_mut() {
            command.output.push(line.to_owned());
        }
    }
    for command in &mut commands {
        while command.output.last().is_some_and(String::is_empty) {
            command.output.pop();
        }
    }
    commands
}

/// Returns whether `shown` matches `printed`. A line `...` matches any number of lines.
fn agrees(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=printed.len()).any(|left_out| agrees(rest, &printed[left_out..]))
        }
        Some((line, rest)) => printed.first() == Some(&line.as_str()) && agrees(rest, &printed[1..]),
    }
}

/// Returns the files with an ending in a folder and its subfolders, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn the_output_on_a_page_equals_the_output_of_its_command() {
    let mut pages = files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    for page in pages {
        let text = fs::read_to_string(&page).expect("page");
        let commands = shown_commands(&text);
        let is_concept = page.parent().is_some_and(|folder| folder.ends_with("concepts"));
        assert!(!commands.is_empty() || !is_concept, "{} must have a worked example", page.display());
        for Shown { arguments, output } in commands {
            let printed = printed(&arguments);
            let lines: Vec<&str> = printed.trim_end().lines().collect();
            assert!(
                agrees(&output, &lines),
                "{}: `{arguments}` must show, where `...` stands for what is left out:\n{printed}",
                page.display()
            );
        }
    }
}

#[test]
fn three_dots_match_any_lines_and_all_other_lines_are_compared() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = ["one", "two", "three", "four"];
    assert!(agrees(&shown("one\n...\nfour"), &printed));
    assert!(agrees(&shown("one\n...\ntwo\n..."), &printed));
    assert!(!agrees(&shown("one\n...\nthree"), &printed));
    assert!(!agrees(&shown("two\nthree\nfour"), &printed));
}

/// A scenario of an account.
struct Scenario {
    manifests: PathBuf,
    description: String,
    arguments: String,
}

impl Scenario {
    fn golden(&self) -> PathBuf {
        self.manifests.with_extension("txt")
    }
}

fn scenarios() -> Vec<Scenario> {
    let manifests = files(&root().join("tests/golden/lives"), "yaml").into_iter();
    let scenarios =
        manifests.filter(|file| !file.to_string_lossy().ends_with(".catalog.yaml")).map(|manifests| {
            let text = fs::read_to_string(&manifests).expect("scenario");
            let description =
                text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default().to_owned();
            let command = text.lines().find_map(|line| line.strip_prefix(SCENARIO_PROMPT));
            Scenario {
                manifests,
                description,
                arguments: command.expect("the command of the scenario").to_owned(),
            }
        });
    scenarios.collect()
}

#[test]
fn every_scenario_has_its_golden_statement() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 12, "{} scenarios", scenarios.len());
    for scenario in scenarios {
        let name = scenario.manifests.display();
        assert!(scenario.description.ends_with('.'), "{name} must begin with a sentence that describes it");
        let expected = fs::read_to_string(scenario.golden()).unwrap_or_default();
        assert_eq!(
            printed(&scenario.arguments),
            expected,
            "{name}: run the ignored test write_the_golden_scenarios and read its diff"
        );
    }
}

#[test]
#[ignore = "writes tests/golden/lives/*.txt"]
fn write_the_golden_scenarios() {
    for scenario in scenarios() {
        fs::write(scenario.golden(), printed(&scenario.arguments)).expect("is written");
    }
}

fn amount(value: &Value, pointer: &str) -> Credits {
    let text = value.pointer(pointer).and_then(Value::as_str).unwrap_or("0");
    text.parse().expect("an amount")
}

#[test]
fn the_amounts_of_every_scenario_add_up() {
    for scenario in scenarios() {
        let name = scenario.manifests.display();
        let arguments = scenario.arguments.replace("--events", "-o json");
        let played: Value = serde_json::from_str(&printed(&arguments)).expect("JSON");
        let mut balance = Credits::ZERO;
        for entry in played["entries"].as_array().expect("entries") {
            balance = Credits::sum([balance, amount(entry, "/credits")]).expect("a sum");
            assert_eq!(balance, amount(entry, "/balance"), "{name}: {entry}");
        }
        let objects = played["objects"].as_array().expect("objects");
        let of_kind = |kind: &str| objects.iter().find(|object| object["kind"] == kind).expect("object");
        let (subscription, ledger) = (of_kind("Subscription"), of_kind("CreditLedger"));
        assert_eq!(balance, amount(subscription, "/status/credits/balance"), "{name}");
        let total = |kind: &str| amount(ledger, &format!("/spec/totals/{kind}"));
        let given = Credits::sum(["granted", "purchased", "adjusted"].map(total));
        let taken = Credits::sum(["consumed", "expired", "refunded"].map(total));
        let left = given.expect("a sum").checked_sub(taken.expect("a sum")).expect("a difference");
        assert_eq!(balance, left, "{name}");
    }
}
