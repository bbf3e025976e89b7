//! Private Kubernetes control planes for demo, tests and benchmarks. Each is a real etcd and a real
//! kube-apiserver, starts in seconds, and can run beside others.
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
//! When the owning process ends, even by SIGKILL, its servers are killed and its folder is removed. A guard
//! process (`guard.sh`) owns both and sees the end of its input.

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
