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

/// A start takes 3 seconds; a busy machine with several at once may need a minute.
const READY_WITHIN: Duration = Duration::from_secs(3 * 60);

/// Short beside a start, long beside the 80 ms of a kubectl that asks.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A free port may be taken before the server has it; to lose five times in a row is another fault.
const PORTS_TO_TRY: usize = 5;

/// A private control plane that runs. Dropping it ends its servers and removes its folder.
#[derive(Debug)]
pub struct ControlPlane {
    plane: Arc<Plane>,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver with the administrator as the only user.
    ///
    /// # Errors
    /// As [`Builder::start`].
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

    /// Returns the API server's address, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.plane.url()
    }

    /// Returns the file with the authority that signed the API server's certificate.
    #[must_use]
    pub fn certificate_authority(&self) -> PathBuf {
        self.plane.folder().join(CERTIFICATE)
    }

    /// Returns the folder with logs and kubeconfigs, which goes with the control plane.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.plane.folder()
    }

    /// Returns the folder with etcd, kube-apiserver, kubectl.
    #[must_use]
    pub fn programs(&self) -> &Path {
        self.plane.programs.folder()
    }

    /// Returns the folder for `KUBECACHEDIR`. Whoever runs kubectl by itself should set it: the usual cache is keyed
    /// by host and port, which another control plane may have had before.
    #[must_use]
    pub fn kubectl_cache(&self) -> PathBuf {
        self.plane.kubectl_cache()
    }

    /// Returns the administrator's kubeconfig (group `system:masters`).
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig(ADMINISTRATOR)
    }

    /// Returns the kubeconfig of a user named with [`Builder::user`].
    ///
    /// # Errors
    /// The user was not named.
    pub fn kubeconfig_for(&self, user: &str) -> Result<PathBuf, Error> {
        self.plane.kubeconfig_for(user)
    }

    /// Writes a kubeconfig for a token, such as a `ServiceAccount`'s from `kubectl create token`, and returns it.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn write_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf, Error> {
        self.plane.write_kubeconfig(name, token)
    }

    /// Runs kubectl as the administrator and waits for its end. That the API server refuses is a value, see
    /// [`Output`].
    ///
    /// # Errors
    /// kubectl could not be run.
    pub async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<Output, Error> {
        self.kubectl_as(ADMINISTRATOR, arguments, stdin).await
    }

    /// Runs kubectl as a user named with [`Builder::user`].
    ///
    /// # Errors
    /// The user was not named, or kubectl could not be run.
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

    /// Applies the custom resource definitions of a file or folder and returns when all are `Established`.
    ///
    /// # Errors
    /// One was refused, or was not established within a minute.
    pub async fn apply_crds(&self, path: &Path) -> Result<(), Error> {
        let path = path.display().to_string();
        let apply = ["apply", "--server-side", "--filename", &path];
        self.kubectl(&apply, None).await?.succeeded()?;
        // Not `--for=condition=`, which fails on a definition that has no conditions yet.
        let established = r#"--for=jsonpath={.status.conditions[?(@.type=="Established")].status}=True"#;
        let wait = ["wait", established, "--timeout=60s", "--filename", &path];
        self.kubectl(&wait, None).await?.succeeded().map(drop)
    }

    /// Kills the API server (SIGKILL), as a crash would; what etcd holds stays.
    ///
    /// # Errors
    /// The guard is gone.
    pub async fn kill_apiserver(&self) -> Result<(), Error> {
        self.blocking(|plane| plane.guard.kill_server(API_SERVER)).await
    }

    /// Starts the API server again at the same address and returns when it is ready; kills it first if it runs.
    ///
    /// # Errors
    /// It ended or was not ready in time.
    pub async fn restart_apiserver(&self) -> Result<(), Error> {
        self.blocking(|plane| {
            plane.guard.kill_server(API_SERVER)?;
            plane.start_api_server()
        })
        .await
    }

    /// Keeps a copy of what etcd holds under `name`, as a snapshot does. The servers are stopped meanwhile.
    ///
    /// # Errors
    /// The copy could not be written, or a server was not ready in time.
    pub async fn save_data(&self, name: &str) -> Result<(), Error> {
        let copy = format!("{name}.snapshot");
        self.blocking(move |plane| plane.with_data_at_rest(|plane| plane.copy_data("etcd", &copy))).await
    }

    /// Lets etcd hold again what it held when it was saved under `name`, as a restore from a snapshot does, and starts the
    /// servers again.
    ///
    /// # Errors
    /// The copy could not be read, or a server was not ready in time.
    pub async fn restore_data(&self, name: &str) -> Result<(), Error> {
        let copy = format!("{name}.snapshot");
        self.blocking(move |plane| plane.with_data_at_rest(|plane| plane.copy_data(&copy, "etcd"))).await
    }

    /// Ends the servers, removes the folder, and returns when both are done.
    ///
    /// # Errors
    /// Waiting for the guard failed.
    pub async fn stop(self) -> Result<(), Error> {
        self.blocking(|plane| plane.guard.stop()).await
    }

    /// Runs what waits for processes beside the runtime, so that tests with one thread go on.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Plane) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let plane = Arc::clone(&self.plane);
        spawn_blocking(move || work(&plane)).await?
    }
}

/// The servers and what is known of them; every call waits.
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

    /// Stops etcd and the API server, does something to the data, and starts both again.
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
        // Made by the server itself, shortly after it calls itself ready.
        self.wait_for(API_SERVER, &["get", "--raw=/api/v1/namespaces/default"])
    }

    fn start_controller_manager(&self, port: u16) -> Result<(), Error> {
        let kubeconfig = self.kubeconfig(ADMINISTRATOR);
        let controllers = &self.stated.controllers;
        let command =
            servers::controller_manager(&self.programs, self.folder(), port, &kubeconfig, controllers);
        self.guard.start_server(CONTROLLER_MANAGER, &command)?;
        // It has a self-signed certificate, which need not be trusted to read its health.
        let server = format!("--server=https://127.0.0.1:{port}");
        let insecure = ["--insecure-skip-tls-verify", "--certificate-authority="];
        self.wait_for(CONTROLLER_MANAGER, &["get", "--raw=/healthz", &server, insecure[0], insecure[1]])
    }

    /// Asks with kubectl until the answer is yes; a server that ends meanwhile, or that etcd left alone, is an error.
    fn wait_for(&self, server: &'static str, question: &[&str]) -> Result<(), Error> {
        let kubeconfig = self.kubeconfig(ADMINISTRATOR);
        let question: Vec<String> =
            question.iter().copied().chain(["--request-timeout=5s"]).map(str::to_owned).collect();
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = self.kubectl(&kubeconfig, &question, None)?;
            // Asked after kubectl: an answer counts only if it is our server's, not that of another on its port.
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

/// Starts a server at a free port, at another one if somebody was faster.
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
    fn a_port_that_somebody_took_first_is_not_asked_for_again() {
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
    fn any_other_end_of_a_server_is_not_tried_again() {
        let tries = Cell::new(0);
        let result = with_free_port(|_| {
            tries.set(tries.get() + 1);
            ended("unknown flag")
        });
        assert!(matches!(result, Err(Error::ServerEnded { .. })), "{result:?}");
        assert_eq!(tries.get(), 1);
    }
}
