//! The jobs of `examples/preview`: their scripts on a real repository, and the hook with its own rights.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{apply, settled};
use crate::suite::chart::documents;
use crate::suite::installed::shared;
use crate::suite::runbooks::{path_with, program_folder};
use crate::world::{Namespace, root};

const SUBSCRIPTION: &str = "apiVersion: billing.flashgate.dev/v1alpha1\nkind: Subscription\nmetadata: {name: acme}\nspec: \
                            {plan: growth}\n";

fn pack(name: &str) -> String {
    format!(
        "apiVersion: billing.flashgate.dev/v1alpha1\nkind: CreditPack\nmetadata: {{name: {name}}}\nspec: \
         {{subscriptionRef: {{name: acme}}, pack: plus-100}}\n"
    )
}

fn example(name: &str) -> String {
    std::fs::read_to_string(root().join("examples/preview").join(name)).expect("example")
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").args(author).args(arguments).current_dir(folder).output().expect("git");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn commit(folder: &Path) -> String {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "a change"]);
    git(folder, &["rev-parse", "HEAD"])
}

/// Runs a script as a job does, and returns its comment and the code of the preview.
fn run(script: &str, repository: &Path, base: &str, namespace: &Namespace<'_>) -> (String, String) {
    // The namespace of the manifests; in a cluster it is that of the job's kubeconfig.
    let script = script.replace("preview -R", &format!("preview -n {} -R", namespace.name));
    let output = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", &script])
        .current_dir(repository)
        .env("PATH", path_with(&[&program_folder()]))
        .env("FOLDER", "billing")
        .env("BASE", base)
        .env("KUBECONFIG", namespace.world.plane.kubeconfig())
        .output()
        .expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(repository.join(name)).expect(name);
    (read("comment.md"), read("code").trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_comment_a_pull_request() {
    let namespace = shared().await.namespace("preview-jobs").await;
    let repository = tempfile::tempdir().expect("folder");
    let billing = repository.path().join("billing");
    std::fs::create_dir(&billing).expect("folder");
    let write = |name: &str, text: &str| std::fs::write(billing.join(name), text).expect("written");
    git(repository.path(), &["init", "--quiet"]);
    write("acme.yaml", SUBSCRIPTION);
    write("pack.yaml", &pack("january"));
    let base = commit(repository.path());
    for text in [SUBSCRIPTION, &pack("january")] {
        apply(&namespace, text).await;
        settled(&namespace).await;
    }
    write("pack.yaml", &pack("team-january"));
    commit(repository.path());
    let github: Value = serde_yaml::from_str(&example("github-workflow.yaml")).expect("YAML");
    let steps = github["jobs"]["preview"]["steps"].as_array().expect("steps").iter();
    let step = steps.clone().find(|step| step["name"] == "Preview").expect("step");
    let gitlab: Value = serde_yaml::from_str(&example("gitlab-ci.yaml")).expect("YAML");
    for script in [&step["run"], &gitlab["credits"]["script"][0]] {
        let script = script.as_str().expect("script");
        let (comment, code) = run(script, repository.path(), &base, &namespace);
        assert!(
            comment.starts_with("<!-- flashgate-billing preview -->\n### Credits: 1 new purchase"),
            "{comment}"
        );
        assert!(comment.contains("CreditPack/january is deleted: its purchase stays"), "{comment}");
        assert_eq!(code, "0");
    }
    write("pack.yaml", &pack("team-january").replace("plus-100", "plus-7"));
    commit(repository.path());
    let (comment, code) = run(step["run"].as_str().expect("script"), repository.path(), &base, &namespace);
    assert!(comment.contains("### Credits: 1 object refused"), "{comment}");
    assert!(comment.contains("CreditPack/team-january is refused (UnknownPack)"), "{comment}");
    assert_eq!(code, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_of_argo_cd_has_the_rights_that_it_needs() {
    let world = shared().await;
    let namespace = world.namespace("preview-hook").await;
    let hook = example("argocd-presync.yaml");
    apply(&namespace, &hook).await;
    apply(&namespace, SUBSCRIPTION).await;
    settled(&namespace).await;
    let token = namespace.kubectl(&["create", "token", "flashgate-preview"], None).await;
    let token = token.succeeded().expect("token");
    let kubeconfig = world.plane.write_kubeconfig("preview-hook", token.trim()).expect("kubeconfig");
    let job = documents(&hook).into_iter().find(|object| object["kind"] == "Job").expect("Job");
    let arguments =
        job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("args").clone();
    let folder = tempfile::tempdir().expect("folder");
    let preview = |pack: &str| {
        std::fs::write(folder.path().join("pack.yaml"), pack).expect("written");
        let place = |argument: &Value| {
            let argument = argument.as_str().expect("argument");
            let catalog = root().join("src/catalog/shipped.yaml").display().to_string();
            let argument = argument.replace("/manifests", &folder.path().display().to_string());
            argument.replace("/catalog/catalog.yaml", &catalog)
        };
        let output = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"))
            .args(arguments.iter().map(place))
            .args(["--namespace", &namespace.name])
            .env("KUBECONFIG", &kubeconfig)
            .output()
            .expect("run");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, text) = preview(&pack("january"));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = preview(&pack("january").replace("plus-100", "plus-7"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("UnknownPack"), "{text}");
}
