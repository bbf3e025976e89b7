//! The folder with etcd, kube-apiserver and the other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/build.sh");

/// The folder with the programs of the control plane.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the programs. Builds missing ones, with progress on standard error.
    pub(crate) fn find() -> Result<Self, Error> {
        let output = Command::new(SCRIPT)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| Error::RunBuild { path: SCRIPT.into(), source })?;
        if !output.status.success() {
            return Err(Error::BuildPrograms { status: output.status });
        }
        let folder = String::from_utf8_lossy(&output.stdout).trim_end().into();
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}
