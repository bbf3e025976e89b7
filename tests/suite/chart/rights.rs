//! The operator's rights: the chart grants exactly the rights that the scenario needs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::pod::Container;
use super::scenario::{self, catalog, delayed_receipt};
use super::{RELEASE, installed, list, object, render};
use crate::world::{Namespace, Operator, World};

/// Number of scenarios in parallel.
const AT_ONCE: usize = 4;

/// Polling interval of a log.
const LOOK: Duration = Duration::from_millis(50);

/// A right: a verb on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    resource: String,
    verb: String,
}

/// The way in which payments reach an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payments {
    /// Through the webhook.
    Webhook,
    /// As Payment objects.
    Objects,
}

impl Payments {
    /// Returns the name prefix of an installation.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Objects => "objects",
        }
    }
}

/// Returns the values of an installation for the scenario.
fn values(payments: Payments, namespaces: &[&str], go: &std::path::Path) -> Value {
    let payments = match payments {
        Payments::Webhook => json!({"enabled": true, "existingSecret": "payment-webhook"}),
        Payments::Objects => json!({"enabled": false}),
    };
    json!({
        "namespaces": namespaces,
        "catalog": catalog(),
        "crds": {"enabled": false},
        // These objects are cluster-wide, so parallel installations would conflict.
        "userRoles": {"create": false},
        "deletionGuard": {"enabled": false},
        "payments": payments,
        "extraArgs": [delayed_receipt(go)],
        // A sweep that fails is logged at debug level.
        "logging": {"format": "text", "filter": "info,flashgate_billing=debug"},
        "leaderElection": {"leaseSeconds": 3, "renewSeconds": 2, "retrySeconds": 1},
    })
}

/// An installation whose operator runs as a process, with its log.
struct Installation<'a> {
    namespace: Namespace<'a>,
    container: Container,
    go: PathBuf,
    log: PathBuf,
    operator: Operator,
}

impl<'a> Installation<'a> {
    /// Changes and applies the rendered objects of a namespace, and starts the operator.
    async fn begin(
        world: &'a World,
        payments: Payments,
        name: &str,
        namespaces: &[&str],
        change: impl Fn(&mut Value),
    ) -> Installation<'a> {
        let namespace = world.namespace(name).await;
        let folder = world.plane.folder().join(name);
        fs::create_dir_all(&folder).expect("folder");
        let (go, log) = (folder.join("go"), folder.join("log"));
        let mut rendered = installed(&render(name, &values(payments, namespaces, &go)));
        rendered.iter_mut().for_each(change);
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await;
        assert!(applied.success, "{}", applied.stderr);
        let container = Container::of(world, &rendered);
        let operator = container.start(world, &log).await;
        Self { namespace, container, go, log, operator }
    }

    async fn run(&self) -> Result<(), String> {
        scenario::run(&self.namespace, self.container.webhook, &self.go).await
    }

    fn read_log(&self) -> String {
        fs::read_to_string(&self.log).expect("log").replace('\\', "")
    }

    /// Waits until the API server has rejected a request that `right` would allow.
    async fn is_refused(&self, right: &Right) {
        poll_until(|| self.has_been_refused(right)).await;
    }

    /// Waits until the operator has stopped by itself.
    async fn has_stopped(&self) {
        poll_until(|| self.operator.has_stopped()).await;
    }

    fn has_been_refused(&self, right: &Right) -> bool {
        let said = self.read_log();
        said.contains(&format!("cannot {} resource \"{}\"", right.verb, right.resource))
    }
}

impl Drop for Installation<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.namespace.name, self.read_log());
        }
    }
}

/// Polls a condition for as long as the caller waits.
async fn poll_until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the rights of a rendered role.
fn rights_of(role: &Value) -> Vec<Right> {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().expect("list").iter();
        texts.map(|text| text.as_str().expect("text").to_owned()).collect()
    };
    let rules = role["rules"].as_array().expect("rules").iter();
    rules
        .flat_map(|rule| {
            let verbs = texts(&rule["verbs"]);
            texts(&rule["resources"]).into_iter().flat_map(move |resource| {
                let right = move |verb| Right { resource: resource.clone(), verb };
                verbs.clone().into_iter().map(right)
            })
        })
        .collect()
}

/// Removes one right from a role.
fn take(object: &mut Value, right: &Right) {
    let Some(rules) = object.get("rules").and_then(Value::as_array).filter(|_| object["kind"] == "Role")
    else {
        return;
    };
    let mut rest = Vec::new();
    for rule in rules {
        for resource in rule["resources"].as_array().expect("resources") {
            let mut rule = rule.clone();
            rule["resources"] = json!([resource]);
            if *resource == right.resource {
                rule["verbs"].as_array_mut().expect("verbs").retain(|verb| *verb != right.verb);
            }
            if rule["verbs"] != json!([]) {
                rest.push(rule);
            }
        }
    }
    object["rules"] = rest.into();
}

/// Returns the rules that an installation grants, in all namespaces or in the given ones.
fn rules(payments: Payments, namespaces: &[&str]) -> Value {
    let rendered = render("any", &values(payments, namespaces, &PathBuf::from("/go")));
    let kind = if namespaces.is_empty() { "ClusterRole" } else { "Role" };
    object(&rendered, kind, RELEASE)["rules"].clone()
}

#[tokio::test]
async fn the_chart_grants_all_rights_that_the_operator_needs_with_and_without_the_webhook() {
    for payments in [Payments::Webhook, Payments::Objects] {
        let world = World::start().await;
        let installation = Installation::begin(&world, payments, "whole", &[], |_| ()).await;
        installation.run().await.expect("the scenario");
        let said = installation.read_log();
        assert!(!said.contains("is forbidden") && !said.contains("status 403"), "{payments:?}: {said}");
        // An installation for all namespaces grants the same rights, in one ClusterRole and one Role for the
        // Lease.
        let rendered = render("whole", &values(payments, &[], &installation.go));
        assert!(!rights_of(object(&rendered, "ClusterRole", RELEASE)).is_empty());
        let lease = object(&rendered, "Role", &format!("{RELEASE}-leader-election"));
        assert_eq!(lease["metadata"]["namespace"], "whole");
    }
}

#[test]
fn the_webhook_adds_one_right_and_namespaces_add_none() {
    for payments in [Payments::Webhook, Payments::Objects] {
        assert_eq!(rules(payments, &[]), rules(payments, &["any"]), "{payments:?}");
    }
    let rights = |payments| rights_of(&json!({"rules": rules(payments, &[])}));
    let without = rights(Payments::Objects);
    let mut added = rights(Payments::Webhook);
    added.retain(|right| !without.contains(right));
    assert_eq!(added, [Right { resource: "payments".to_owned(), verb: "create".to_owned() }]);
    assert_eq!(rights(Payments::Webhook).len(), without.len() + 1);
}

#[tokio::test]
async fn the_operator_needs_each_of_its_rights() {
    let world = World::start().await;
    let mut taken = Vec::new();
    for payments in [Payments::Webhook, Payments::Objects] {
        let rendered = render("any", &values(payments, &["any"], &PathBuf::from("/go")));
        let mut rights = rights_of(object(&rendered, "Role", RELEASE));
        if payments == Payments::Webhook {
            // Both installations share the Lease rules.
            let election = object(&rendered, "Role", &format!("{RELEASE}-leader-election"));
            rights.extend(rights_of(election));
        }
        for (index, right) in rights.iter().enumerate() {
            assert!(!rights[..index].contains(right), "{right:?} is granted twice");
        }
        taken.extend(rights.into_iter().map(|right| (payments, right)));
    }
    let world = &world;
    let missed: Vec<Option<String>> =
        futures::stream::iter(taken.iter().enumerate())
            .map(|(index, (payments, right))| async move {
                run_without(world, *payments, index, right).await.err()
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
    assert!(missed.len() > 40, "{} rights", missed.len());
    let missed: Vec<String> = missed.into_iter().flatten().collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Runs the scenario without a right.
///
/// # Errors
/// When nothing needed the right.
async fn run_without(world: &World, payments: Payments, index: usize, right: &Right) -> Result<(), String> {
    let name = format!("{}-without-{index}", payments.prefix());
    let take = |object: &mut Value| take(object, right);
    let installation = Installation::begin(world, payments, &name, &[&name], take).await;
    let ended = tokio::select! {
        biased;
        () = installation.is_refused(right) => return Ok(()),
        () = installation.has_stopped() => Err(format!("nothing: the operator stopped. {}", installation.read_log())),
        ended = installation.run() => ended.map_err(|answer| format!("the webhook's answer {answer}")),
    };
    match ended {
        _ if installation.has_been_refused(right) => Ok(()),
        Ok(()) => Err(format!("{payments:?}: nothing needs {right:?}")),
        Err(seen) => Err(format!("{payments:?}: without {right:?} the test saw {seen}")),
    }
}
