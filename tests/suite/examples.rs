//! Each example can be applied on its own, and has the results in its comments.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::suite::installed::shared;
use crate::world::{Namespace, root, wait_until};

fn examples() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("examples")).expect("folder");
    let mut files: Vec<PathBuf> =
        folder.map(|entry| entry.expect("entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Returns the manifests in an example, or the output of its script.
fn manifests(file: &PathBuf) -> String {
    if file.extension().is_some_and(|extension| extension == "sh") {
        let output = Command::new(file).output().expect("script");
        assert!(output.status.success(), "{}", file.display());
        String::from_utf8(output.stdout).expect("text")
    } else {
        fs::read_to_string(file).expect("file")
    }
}

#[tokio::test]
async fn every_example_applies_alone_and_has_its_expected_results() {
    let files = examples();
    assert!(files.len() >= 8, "{} examples", files.len());
    for (index, file) in files.iter().enumerate() {
        let namespace = shared().await.namespace(&format!("example-{index}")).await;
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&manifests(file))).await;
        assert!(applied.success, "{}: {}", file.display(), applied.stderr);
        let text = fs::read_to_string(file).expect("example");
        let expectations: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        assert!(!expectations.is_empty(), "{} has no line with `# expect: `", file.display());
        for expectation in expectations {
            let (object, rest) = expectation.split_once(' ').expect("object");
            let (path, value) = rest.rsplit_once('=').expect("value");
            expect(&namespace, object, path, value).await;
        }
        let again = namespace.kubectl(&["apply", "-f", "-"], Some(&manifests(file))).await;
        assert!(again.success || file.ends_with("08-usage.sh"), "{}: {}", file.display(), again.stderr);
    }
}

async fn expect(namespace: &Namespace<'_>, object: &str, path: &str, value: &str) {
    let path = format!("jsonpath={path}");
    let mut last = String::new();
    wait_until(&format!("{object} {path} is {value}"), async || {
        let output = namespace.kubectl(&["get", object, "-o", &path], None).await;
        last = output.stdout;
        last.trim() == value
    })
    .await;
}
