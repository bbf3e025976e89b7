//! The world of the page: operators that record histories, and servers of the page in each mode.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::account::NAMESPACE;
use super::browser;
use super::states::LONG_NAMESPACE;
use super::tab::Tab;
use crate::free_address::free_address;
use crate::suite::chart::list;
use crate::suite::portal::client::Client;
use crate::suite::portal::{Rules, external_catalog, role, serve, token_of};
use crate::world::{Namespace, Operator, World, wait_until};

/// The verbs of each user of the page.
const USERS: [(&str, Rules); 3] = [
    (
        "customer",
        &[
            ("subscriptions", &["get", "list", "create", "patch"]),
            ("creditpacks", &["get", "list", "create"]),
            ("creditledgers", &["get"]),
            ("usagereports", &["list"]),
        ],
    ),
    (
        "reader",
        &[
            ("subscriptions", &["get", "list"]),
            ("creditpacks", &["get", "list"]),
            ("creditledgers", &["get"]),
            ("usagereports", &["list"]),
        ],
    ),
    ("outsider", &[]),
];

/// Namespaces whose invoices are paid by Payments.
const EXTERNAL: [&str; 3] = ["page-paid-scripts", "page-paid-plain", "page-unpaid"];

/// Namespaces whose invoices are settled when they are issued.
const INTERNAL: [&str; 19] = [
    NAMESPACE,
    "page-attacked",
    "page-debt",
    "page-forged",
    "page-fresh",
    "page-git",
    LONG_NAMESPACE,
    "page-many",
    "page-overtaken",
    "page-packs-plain",
    "page-packs-scripts",
    "page-plan-plain",
    "page-plan-scripts",
    "page-reader",
    "page-secret",
    "page-settings-plain",
    "page-settings-scripts",
    "page-twice",
    "page-withdrawn",
];

/// Namespaces in which Subscriptions may use a test clock.
const TEST_CLOCKS: [&str; 2] = [NAMESPACE, "page-many"];

/// A server of the page.
pub struct Page {
    /// Its address.
    pub address: SocketAddr,
    /// Its log, at the level trace.
    pub log: PathBuf,
    _process: Operator,
}

/// A world with a page for each mode.
pub struct Served {
    /// The world.
    pub world: World,
    /// The page where invoices are settled when they are issued.
    pub internal: Page,
    /// The page where invoices are paid by Payments.
    pub external: Page,
    /// The page that writes nothing, and has no history.
    pub manifests: Page,
    /// The history of the first page.
    pub history: String,
    _operators: [Operator; 2],
}

/// Returns the world that these tests share.
pub async fn served() -> &'static Served {
    static SERVED: OnceCell<Served> = OnceCell::const_new();
    SERVED.get_or_init(start).await
}

async fn start() -> Served {
    let world = World::start_with_users(&USERS.map(|(user, _)| user)).await;
    let roles: Vec<Value> = USERS.iter().map(|(user, rules)| role(user, rules)).collect();
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&list(&roles))).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
    let history = |name: &str| format!("sqlite:{}", world.plane.folder().join(name).display());
    let (settled, paid) = (history("settled.db"), history("paid.db"));
    let catalog = external_catalog(&world);
    let of_internal = [
        &["--history", &settled, "--namespace"],
        INTERNAL.as_slice(),
        &["--allow-test-clocks"],
        TEST_CLOCKS.as_slice(),
    ]
    .concat();
    let of_external =
        [&["--history", &paid, "--catalog", &catalog, "--namespace"], EXTERNAL.as_slice()].concat();
    let operators = [world.operator(&of_internal), world.operator(&of_external)];
    let namespaces = [&["--history", &settled, "--namespaces"], INTERNAL.as_slice()].concat();
    let of_paid = ["--history", &paid, "--catalog", &catalog];
    let (internal, external, manifests) = tokio::join!(
        Page::start(&world, "internal", &namespaces),
        Page::start(&world, "external", &of_paid),
        Page::start(&world, "manifests", &["--writes", "manifests"]),
    );
    Served { world, internal, external, manifests, history: settled, _operators: operators }
}

impl Page {
    /// Starts a server, and waits until it answers.
    async fn start(world: &World, name: &str, arguments: &[&str]) -> Self {
        let (address, log) = (free_address(), world.plane.folder().join(format!("page-{name}.log")));
        let listen = address.to_string();
        let own = ["--listen", &listen, "--log-filter", "trace"];
        let process = serve(world, &[&own, arguments].concat(), Some(&log));
        wait_until("the page answers", async || Client::at(address).health().await == Some(200)).await;
        Self { address, log, _process: process }
    }

    /// Returns scheme, host and port.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts a browser at this page, or returns `None` where there is no browser: the test is skipped.
    pub async fn visit(&self) -> Option<Tab> {
        browser::visit(&self.origin()).await
    }
}

impl Served {
    /// Starts another page of this world.
    pub async fn page(&self, name: &str, arguments: &[&str]) -> Page {
        Page::start(&self.world, name, arguments).await
    }

    /// Makes a namespace in which the customer and the reader have their roles.
    pub async fn namespace(&self, name: &str) -> Namespace<'_> {
        let namespace = self.world.namespace(name).await;
        for user in ["customer", "reader"] {
            self.bind(&namespace, user, user).await;
        }
        namespace
    }

    /// Gives a user the rights of another in a namespace.
    pub async fn bind(&self, namespace: &Namespace<'_>, user: &str, role: &str) {
        let (role, of) = (format!("--clusterrole=portal-{role}"), format!("--user={user}"));
        let bind = ["create", "rolebinding", user, &role, &of];
        namespace.kubectl(&bind, None).await.succeeded().expect("bound");
    }

    /// Returns the token of a user.
    pub fn token(&self, user: &str) -> String {
        token_of(&self.world, user)
    }
}
