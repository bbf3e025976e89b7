//! The operator's rights: what the chart grants is enough for a life, and none of it is too much.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::life::{catalog, held_receipt, live};
use super::pod::Container;
use super::{RELEASE, installed, list, object, render};
use crate::world::{Namespace, Operator, World};

/// Lives at once: enough to be quick, few enough for a small machine.
const AT_ONCE: usize = 4;

/// How often a log is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A right: a verb on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    resource: String,
    verb: String,
}

/// Returns the values of an installation whose operator can live the life of [`live`].
fn values(namespaces: &[&str], go: &std::path::Path) -> Value {
    json!({
        "namespaces": namespaces,
        "catalog": catalog(),
        "crds": {"enabled": false},
        // They are the cluster's, and installations that begin at once would get into each other's way.
        "userRoles": {"create": false},
        "payments": {"enabled": true, "existingSecret": "payment-webhook"},
        "extraArgs": [held_receipt(go)],
        // A report that cannot be swept is said quietly.
        "logging": {"format": "text", "filter": "info,flashgate_billing=debug"},
        "leaderElection": {"leaseSeconds": 3, "renewSeconds": 2, "retrySeconds": 1},
    })
}

/// An installation whose operator runs as a process, and what it says.
struct Installation<'a> {
    namespace: Namespace<'a>,
    container: Container,
    go: PathBuf,
    log: PathBuf,
    _operator: Operator,
}

impl<'a> Installation<'a> {
    /// Applies what is rendered for a namespace, after `change`, and starts the operator.
    async fn begin(
        world: &'a World,
        name: &str,
        namespaces: &[&str],
        change: impl Fn(&mut Value),
    ) -> Installation<'a> {
        let namespace = world.namespace(name).await;
        let folder = world.plane.folder().join(name);
        fs::create_dir_all(&folder).expect("folder");
        let (go, log) = (folder.join("go"), folder.join("log"));
        let mut rendered = installed(&render(name, &values(namespaces, &go)));
        rendered.iter_mut().for_each(change);
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await;
        assert!(applied.success, "{}", applied.stderr);
        let container = Container::of(world, &rendered);
        let operator = container.start(world, &log).await;
        Self { namespace, container, go, log, _operator: operator }
    }

    async fn live(&self) -> Result<(), String> {
        let webhook = self.container.webhook.expect("the webhook is served");
        live(&self.namespace, webhook, &self.go).await
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("log").replace('\\', "")
    }

    /// Waits until the API server has refused what `right` would allow.
    async fn is_refused(&self, right: &Right) {
        while !self.has_been_refused(right) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn has_been_refused(&self, right: &Right) -> bool {
        let said = self.said();
        said.contains(&format!("cannot {} resource \"{}\"", right.verb, right.resource))
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

/// Takes a right out of a role, and leaves all others.
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

#[tokio::test]
async fn the_rights_that_the_chart_grants_are_enough_for_a_whole_life() {
    let world = World::start().await;
    let installation = Installation::begin(&world, "whole", &[], |_| ()).await;
    installation.live().await.expect("the life");
    let said = installation.said();
    assert!(!said.contains("is forbidden") && !said.contains("status 403"), "{said}");
    // What it did is what an installation of all namespaces grants, by one ClusterRole and one Role for the Lease.
    let rendered = render("whole", &values(&[], &installation.go));
    assert!(!rights_of(object(&rendered, "ClusterRole", RELEASE)).is_empty());
    let lease = object(&rendered, "Role", &format!("{RELEASE}-leader-election"));
    assert_eq!(lease["metadata"]["namespace"], "whole");
}

#[tokio::test]
async fn without_any_one_of_its_rights_the_operator_is_refused() {
    let world = World::start().await;
    let rendered = render("any", &values(&["any"], &PathBuf::from("/go")));
    let mut rights = rights_of(object(&rendered, "Role", RELEASE));
    let election = object(&rendered, "Role", &format!("{RELEASE}-leader-election"));
    rights.extend(rights_of(election));
    for (index, right) in rights.iter().enumerate() {
        assert!(!rights[..index].contains(right), "{right:?} is granted twice");
    }
    let world = &world;
    let missed: Vec<Option<String>> = futures::stream::iter(rights.iter().enumerate())
        .map(|(index, right)| async move { live_without(world, index, right).await.err() })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert!(missed.len() > 20, "{} rights", missed.len());
    let missed: Vec<String> = missed.into_iter().flatten().collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Plays a life without a right.
///
/// # Errors
/// When nothing needed it.
async fn live_without(world: &World, index: usize, right: &Right) -> Result<(), String> {
    let name = format!("without-{index}");
    let take = |object: &mut Value| take(object, right);
    let installation = Installation::begin(world, &name, &[&name], take).await;
    let ended = tokio::select! {
        biased;
        () = installation.is_refused(right) => return Ok(()),
        ended = installation.live() => ended,
    };
    match ended {
        _ if installation.has_been_refused(right) => Ok(()),
        Ok(()) => Err(format!("nothing needs {right:?}")),
        Err(answer) => Err(format!("without {right:?} the webhook answered {answer}")),
    }
}
