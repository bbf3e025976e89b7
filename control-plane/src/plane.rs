//! A running control plane.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::access::{User, kubeconfig, token_file};
use crate::builder::{Builder, free_port};
use crate::error::Error;
use crate::guard::Guard;
use crate::kubectl::{self, Output};
use crate::programs::Programs;
use crate::servers::{self, API_SERVER, CERTIFICATE, CONTROLLER_MANAGER, ETCD};

/// The user in the group `system:masters`.
pub(crate) const ADMINISTRATOR: &str = "admin";

/// A start takes 3 seconds. Several starts on a busy machine can take a minute.
const READY_WITHIN: Duration = Duration::from_mins(3);

/// This is short compared with a start, and long compared with the 80 ms of a kubectl call.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Another process can take a free port before the server does. Five failures in a row have another cause.
const PORTS_TO_TRY: usize = 5;

/// A running private control plane. Dropping it ends its servers and removes its folder.
#[derive(Debug)]
pub struct ControlPlane {
    plane: Arc<Plane>,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver with the administrator as the only user.
    ///
    /// # Errors
    /// Returns the errors of [`Builder::start`].
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Returns a builder for users, controllers and flags.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(plane: Arc<Plane>) -> Self {
        Self { plane }
    }

    /// Returns the address of the API server, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.plane.url()
    }

    /// Returns the file with the CA of the API server's certificate.
    #[must_use]
    pub fn certificate_authority(&self) -> PathBuf {
        self.plane.folder().join(CERTIFICATE)
    }

    /// Returns the folder with logs and kubeconfigs. It is removed with the control plane.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.plane.folder()
    }

    /// Returns the folder with etcd, kube-apiserver, kubectl.
    #[must_use]
    pub fn programs(&self) -> &Path {
        self.plane.programs.folder()
    }

    /// Returns the folder for `KUBECACHEDIR`. Set it if you run kubectl yourself: the default cache has a key
    /// of host and port, which an earlier control plane may have used.
    #[must_use]
    pub fn kubectl_cache(&self) -> PathBuf {
        self.plane.kubectl_cache()
    }

    /// Returns the administrator's kubeconfig (group `system:masters`).
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig(ADMINISTRATOR)
    }

    /// Returns the kubeconfig of a user of [`Builder::user`].
    ///
    /// # Errors
    /// Returns an error if the configuration does not have the user.
    pub fn kubeconfig_for(&self, user: &str) -> Result<PathBuf, Error> {
        self.plane.kubeconfig_for(user)
    }

    /// Writes a kubeconfig for a token, such as a `ServiceAccount`'s from `kubectl create token`, and returns it.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf, Error> {
        self.plane.write_kubeconfig(name, token)
    }

    /// Runs kubectl as the administrator and waits until it ends. An error of the API server is a value, see
    /// [`Output`].
    ///
    /// # Errors
    /// Returns an error if kubectl cannot be run.
    pub async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<Output, Error> {
        self.kubectl_as(ADMINISTRATOR, arguments, stdin).await
    }

    /// Runs kubectl as a user of [`Builder::user`].
    ///
    /// # Errors
    /// Returns an error if the configuration does not have the user, or if kubectl cannot be run.
    pub async fn kubectl_as(
        &self,
        user: &str,
        arguments: &[&str],
        stdin: Option<&str>,
    ) -> Result<Output, Error> {
        let kubeconfig = self.kubeconfig_for(user)?;
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let stdin = stdin.map(str::to_owned);
        self.blocking(move |plane| plane.kubectl(&kubeconfig, &arguments, stdin.as_deref())).await
    }

    /// Applies the CRDs of a file or folder and returns when all are `Established`.
    ///
    /// # Errors
    /// Returns an error if one is refused, or is not established within a minute.
    pub async fn apply_crds(&self, path: &Path) -> Result<(), Error> {
        let path = path.display().to_string();
        let apply = ["apply", "--server-side", "--filename", &path];
        self.kubectl(&apply, None).await?.succeeded()?;
        // `--for=condition=` would fail on a CRD that has no conditions yet.
        let established = r#"--for=jsonpath={.status.conditions[?(@.type=="Established")].status}=True"#;
        let wait = ["wait", established, "--timeout=60s", "--filename", &path];
        self.kubectl(&wait, None).await?.succeeded().map(drop)
    }

    /// Kills the API server (SIGKILL), like a crash. The data of etcd stays.
    ///
    /// # Errors
    /// Returns an error if the guard has ended.
    pub async fn kill_apiserver(&self) -> Result<(), Error> {
        self.blocking(|plane| plane.guard.kill_server(API_SERVER)).await
    }

    /// Starts the API server again at the same address and returns when it is ready. Kills it first if it runs.
    ///
    /// # Errors
    /// Returns an error if it ends or is not ready in time.
    pub async fn restart_apiserver(&self) -> Result<(), Error> {
        self.blocking(|plane| {
            plane.guard.kill_server(API_SERVER)?;
            plane.start_api_server()
        })
        .await
    }

    /// Copies the data of etcd under `name`, like a snapshot. Stops the servers during the copy.
    ///
    /// # Errors
    /// Returns an error if the copy cannot be written, or if a server is not ready in time.
    pub async fn save_data(&self, name: &str) -> Result<(), Error> {
        let copy = format!("{name}.snapshot");
        self.blocking(move |plane| plane.with_data_at_rest(|plane| plane.copy_data("etcd", &copy))).await
    }

    /// Restores the data of etcd that was saved under `name`, like a restore from a snapshot, and starts the
    /// servers again.
    ///
    /// # Errors
    /// Returns an error if the copy cannot be read, or if a server is not ready in time.
    pub async fn restore_data(&self, name: &str) -> Result<(), Error> {
        let copy = format!("{name}.snapshot");
        self.blocking(move |plane| plane.with_data_at_rest(|plane| plane.copy_data(&copy, "etcd"))).await
    }

    /// Ends the servers, removes the folder, and returns when both are done.
    ///
    /// # Errors
    /// Returns an error if waiting for the guard fails.
    pub async fn stop(self) -> Result<(), Error> {
        self.blocking(|plane| plane.guard.stop()).await
    }

    /// Runs a blocking function outside the runtime, so that tests with one thread do not block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Plane) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let plane = Arc::clone(&self.plane);
        spawn_blocking(move || work(&plane)).await?
    }
}

/// The servers and their state. Every call blocks.
#[derive(Debug)]
pub(crate) struct Plane {
    programs: Programs,
    guard: Guard,
    users: Vec<User>,
    stated: Builder,
    port: AtomicU16,
}

impl Plane {
    pub(crate) fn start(
        programs: Programs,
        guard: Guard,
        users: Vec<User>,
        stated: Builder,
    ) -> Result<Self, Error> {
        let plane = Self { programs, guard, users, stated, port: AtomicU16::new(0) };
        plane.guard.write_file("tokens.csv", &token_file(&plane.users))?;
        let etcd = servers::etcd(&plane.programs, plane.folder(), &plane.stated.etcd_flags);
        plane.guard.start_server(ETCD, &etcd)?;
        with_free_port(|port| {
            plane.port.store(port, Ordering::Relaxed);
            for user in &plane.users {
                plane.write_kubeconfig(&user.name, &user.token)?;
            }
            plane.start_api_server()
        })?;
        if !plane.stated.controllers.is_empty() {
            with_free_port(|port| plane.start_controller_manager(port))?;
        }
        Ok(plane)
    }

    fn folder(&self) -> &Path {
        self.guard.folder()
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.load(Ordering::Relaxed))
    }

    fn kubectl_cache(&self) -> PathBuf {
        self.folder().join("kubectl-cache")
    }

    fn kubeconfig(&self, name: &str) -> PathBuf {
        self.folder().join(kubeconfig_name(name))
    }

    fn kubeconfig_for(&self, user: &str) -> Result<PathBuf, Error> {
        if self.users.iter().any(|known| known.name == user) {
            Ok(self.kubeconfig(user))
        } else {
            Err(Error::UnknownUser { user: user.to_owned() })
        }
    }

    fn write_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf, Error> {
        let authority = self.folder().join(CERTIFICATE).display().to_string();
        self.guard.write_file(&kubeconfig_name(name), &kubeconfig(&self.url(), &authority, name, token))
    }

    fn kubectl(&self, kubeconfig: &Path, arguments: &[String], stdin: Option<&str>) -> Result<Output, Error> {
        kubectl::run(&self.programs.path("kubectl"), kubeconfig, &self.kubectl_cache(), arguments, stdin)
    }

    /// Stops etcd and the API server, calls a function on the data, and starts both again.
    fn with_data_at_rest(&self, work: impl FnOnce(&Self) -> Result<(), Error>) -> Result<(), Error> {
        self.guard.kill_server(API_SERVER)?;
        self.guard.kill_server(ETCD)?;
        work(self)?;
        let etcd = servers::etcd(&self.programs, self.folder(), &self.stated.etcd_flags);
        self.guard.start_server(ETCD, &etcd)?;
        self.start_api_server()
    }

    /// Replaces one folder of the run folder by a copy of another.
    fn copy_data(&self, from: &str, to: &str) -> Result<(), Error> {
        let (from, to) = (self.folder().join(from), self.folder().join(to));
        replace_folder(&from, &to).map_err(|source| Error::WriteFile { path: to, source })
    }

    fn start_api_server(&self) -> Result<(), Error> {
        let port = self.port.load(Ordering::Relaxed);
        let Builder { controllers, api_server_flags, .. } = &self.stated;
        let makes_accounts = controllers.iter().any(|name| name == "serviceaccount-controller");
        let command =
            servers::api_server(&self.programs, self.folder(), port, makes_accounts, api_server_flags);
        self.guard.start_server(API_SERVER, &command)?;
        self.wait_for(API_SERVER, &["get", "--raw=/readyz"])?;
        // The server creates it shortly after it is ready.
        self.wait_for(API_SERVER, &["get", "--raw=/api/v1/namespaces/default"])
    }

    fn start_controller_manager(&self, port: u16) -> Result<(), Error> {
        let kubeconfig = self.kubeconfig(ADMINISTRATOR);
        let controllers = &self.stated.controllers;
        let command =
            servers::controller_manager(&self.programs, self.folder(), port, &kubeconfig, controllers);
        self.guard.start_server(CONTROLLER_MANAGER, &command)?;
        // It has a self-signed certificate, and reading its health needs no trust.
        let server = format!("--server=https://127.0.0.1:{port}");
        let insecure = ["--insecure-skip-tls-verify", "--certificate-authority="];
        self.wait_for(CONTROLLER_MANAGER, &["get", "--raw=/healthz", &server, insecure[0], insecure[1]])
    }

    /// Calls kubectl until the server is ready. Returns an error if the server or its etcd ends.
    fn wait_for(&self, server: &'static str, question: &[&str]) -> Result<(), Error> {
        let kubeconfig = self.kubeconfig(ADMINISTRATOR);
        let question: Vec<String> =
            question.iter().copied().chain(["--request-timeout=5s"]).map(str::to_owned).collect();
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = self.kubectl(&kubeconfig, &question, None)?;
            // This check is after kubectl, because another server could answer on the port of ours.
            self.assert_alive(ETCD)?;
            self.assert_alive(server)?;
            if answer.success {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let answer = answer.stderr.trim_end().to_owned();
                let seconds = READY_WITHIN.as_secs();
                return Err(Error::ServerNotReady {
                    server,
                    seconds,
                    answer,
                    log: self.guard.log_end(server),
                });
            }
            thread::sleep(ASK_EVERY);
        }
    }

    fn assert_alive(&self, server: &'static str) -> Result<(), Error> {
        if self.guard.is_alive(server)? {
            return Ok(());
        }
        Err(Error::ServerEnded { server, log: self.guard.log_end(server) })
    }
}

fn replace_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    copy_folder(from, to)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn kubeconfig_name(user: &str) -> String {
    format!("{user}.kubeconfig")
}

/// Starts a server at a free port, and tries another port if that one was taken meanwhile.
fn with_free_port(start: impl Fn(u16) -> Result<(), Error>) -> Result<(), Error> {
    let mut result = start(free_port()?);
    for _ in 1..PORTS_TO_TRY {
        match &result {
            Err(Error::ServerEnded { log, .. }) if log.contains("address already in use") => {
                result = start(free_port()?);
            }
            _ => break,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn ended(log: &str) -> Result<(), Error> {
        Err(Error::ServerEnded { server: API_SERVER, log: log.to_owned() })
    }

    #[test]
    fn a_port_that_another_process_took_is_not_used_again() {
        let taken = Cell::new(None);
        let result = with_free_port(|port| match taken.replace(Some(port)) {
            None => ended("listen tcp 127.0.0.1:6443: bind: address already in use"),
            Some(first) => {
                assert_ne!(first, port);
                Ok(())
            }
        });
        assert!(result.is_ok(), "{result:?}");
    }

    #[test]
    fn other_failures_of_a_server_are_not_retried() {
        let tries = Cell::new(0);
        let result = with_free_port(|_| {
            tries.set(tries.get() + 1);
            ended("unknown flag")
        });
        assert!(matches!(result, Err(Error::ServerEnded { .. })), "{result:?}");
        assert_eq!(tries.get(), 1);
    }
}
