//! The configuration of a control plane, and its start.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::access::User;
use crate::error::Error;
use crate::guard::Guard;
use crate::plane::{ADMINISTRATOR, ControlPlane, Plane};
use crate::programs::Programs;

/// The configuration of a control plane. [`Builder::start`] starts it.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    users: Vec<(String, Vec<String>)>,
    pub(crate) controllers: Vec<String>,
    pub(crate) api_server_flags: Vec<String>,
    pub(crate) etcd_flags: Vec<String>,
}

impl Builder {
    /// Adds a user with its groups. At first RBAC grants it nothing. [`ControlPlane::kubeconfig_for`] returns
    /// its kubeconfig.
    #[must_use]
    pub fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.users.push((name.to_owned(), groups.iter().map(ToString::to_string).collect()));
        self
    }

    /// Adds controllers of kube-controller-manager by their names, such as `garbage-collector-controller`
    /// (foreground deletion, owners) or `namespace-controller` (deletion of namespaces). Without controllers,
    /// kube-controller-manager does not run.
    #[must_use]
    pub fn controllers(mut self, names: &[&str]) -> Self {
        self.controllers.extend(names.iter().map(ToString::to_string));
        self
    }

    /// Adds a flag of kube-apiserver, such as `--feature-gates=WatchList=false`.
    #[must_use]
    pub fn api_server_flag(mut self, flag: &str) -> Self {
        self.api_server_flags.push(flag.to_owned());
        self
    }

    /// Adds a flag of etcd, such as `--quota-backend-bytes=33554432`.
    #[must_use]
    pub fn etcd_flag(mut self, flag: &str) -> Self {
        self.etcd_flags.push(flag.to_owned());
        self
    }

    /// Starts the servers and returns when they are ready. Builds missing programs first, with progress on
    /// standard error.
    ///
    /// # Errors
    /// Returns an error if a program cannot be built, or if a server ends or is not ready in time. The error
    /// has the end of its log.
    pub async fn start(self) -> Result<ControlPlane, Error> {
        let plane = spawn_blocking(move || self.start_blocking()).await??;
        Ok(ControlPlane::new(Arc::new(plane)))
    }

    fn start_blocking(self) -> Result<Plane, Error> {
        let programs = Programs::find()?;
        let guard = Guard::start()?;
        let users = self.users().map_err(|source| Error::WriteFile { path: "tokens.csv".into(), source })?;
        Plane::start(programs, guard, users, self)
    }

    fn users(&self) -> io::Result<Vec<User>> {
        let administrator = (ADMINISTRATOR.to_owned(), vec!["system:masters".to_owned()]);
        std::iter::once(&administrator)
            .chain(&self.users)
            .map(|(name, groups)| User::new(name, groups.clone()))
            .collect()
    }
}

/// Returns a port that is free now.
pub(crate) fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::FindPort)?;
    Ok(listener.local_addr().map_err(Error::FindPort)?.port())
}
