//! Private Kubernetes control planes for demo, tests and benchmarks: a real etcd and a real kube-apiserver, started
//! in seconds, as many side by side as are wanted.
//!
//! ```no_run
//! # async fn example() -> Result<(), flashgate_control_plane::Error> {
//! use flashgate_control_plane::ControlPlane;
//!
//! let control_plane = ControlPlane::builder().user("tenant", &["acme"]).start().await?;
//! let namespaces = control_plane.kubectl(&["get", "namespaces", "-o", "name"], None).await?.succeeded()?;
//! assert!(namespaces.contains("namespace/default"));
//! # Ok(()) }
//! ```
//!
//! # Guarantees
//! Whatever ends the owning process, SIGKILL included, its servers are killed and its folder is removed: a guard
//! (`guard.sh`) holds both and notices the end of its input.

mod access;
mod builder;
mod error;
mod guard;
mod kubectl;
mod plane;
mod programs;
mod servers;

pub use builder::Builder;
pub use error::Error;
pub use kubectl::Output;
pub use plane::ControlPlane;
