//! TLS of a server: a certificate and its key in files, which are read again when they change.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

/// Interval at which the files are read. Certificates are replaced hours before they expire.
const READ_INTERVAL: Duration = Duration::from_mins(1);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file has no certificate or no key.
    #[error("{} must have {wanted} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The missing content.
        wanted: &'static str,
        /// The cause.
        source: pem::Error,
    },
    /// The certificate does not belong to the key, or has an unknown form.
    #[error("certificate and key cannot be used")]
    Pair(#[source] rustls::Error),
}

/// The content of both files.
#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate of a server.
pub struct Tls {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<(Content, Arc<ServerConfig>)>,
}

impl Tls {
    /// Reads the certificate chain and the key of a server.
    ///
    /// # Errors
    /// When a file cannot be read, or the pair cannot be used.
    pub fn open(certificate_file: PathBuf, key_file: PathBuf) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(read(&certificate_file, &key_file)?);
        Ok(Arc::new(Self { certificate_file, key_file, current }))
    }

    /// Returns an acceptor with the current certificate.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.1))
    }

    /// Reads the files again from time to time. If they cannot be used, the last certificate stays.
    pub async fn follow(self: Arc<Self>) {
        let mut reads = interval(READ_INTERVAL);
        reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            reads.tick().await;
            match self.reload() {
                Ok(false) => {}
                Ok(true) => tracing::info!("the new certificate is used"),
                Err(error) => tracing::warn!(
                    error = format!("{:#}", anyhow::Error::new(error)),
                    "the last certificate stays in use"
                ),
            }
        }
    }

    /// Reads the files. Returns whether they changed.
    fn reload(&self) -> Result<bool, TlsError> {
        let read = read(&self.certificate_file, &self.key_file)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let has_changed = current.0 != read.0;
        if has_changed {
            *current = read;
        }
        Ok(has_changed)
    }
}

fn read(certificate_file: &PathBuf, key_file: &PathBuf) -> Result<(Content, Arc<ServerConfig>), TlsError> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source });
    let content = Content { certificate: read(certificate_file)?, key: read(key_file)? };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&content.certificate).collect();
    let chain =
        chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.map_err(|source| TlsError::Pem {
        path: certificate_file.clone(),
        wanted: "a certificate chain",
        source,
    })?;
    let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|source| TlsError::Pem {
        path: key_file.clone(),
        wanted: "a private key",
        source,
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((content, Arc::new(config)))
}
