//! TLS at both ends of a connection, by rustls with ring: who may connect, and who the other side is by its certificate. Certificates
//! are read again when their files change. Knows neither MQTT nor gRPC; what a peer may do is decided where it does it.
//!
//! Nothing is resumed: a session that is taken up again would not be looked at again, and a certificate may have been revoked since.

mod client;
mod incoming;
mod judged;
#[cfg(test)]
mod judged_tests;
mod last_words;
mod peer;
mod refused;
mod revocations;
mod server;
#[cfg(test)]
mod tests;
mod trouble;
mod watched;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, RootCertStore};

pub use client::{ClientStream, TlsClient};
pub use incoming::{Caller, Connection, Incoming, incoming};
pub use judged::Judgement;
pub use last_words::{TlsConnection, last_words};
pub use peer::{Certificate, CertificateFile, Peer, read_certificates};
pub use refused::Refused;
pub use revocations::Revocations;
pub use server::{ClientCertificates, ServerSettings, TlsServer, Undone};
pub use trouble::Trouble;
pub use watched::Watched;

/// Why TLS cannot be spoken with these files; each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} has no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate { path: PathBuf },
    #[error("{path} has no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey { path: PathBuf },
    #[error("{path}: {problem}")]
    Malformed { path: PathBuf, problem: String },
    #[error("{certificate} and {private_key} do not go together: {source}")]
    Mismatch { certificate: PathBuf, private_key: PathBuf, source: rustls::Error },
    #[error("{authority} will not do as an authority: {problem}")]
    Authority { authority: PathBuf, problem: String },
    #[error("this system has no authorities to trust ({0}); install ca-certificates, or name one with `authority`")]
    NoSystemAuthorities(String),
    #[error("{0:?} is no name of a host")]
    Host(String),
}

/// The one implementation of cryptography in the process; sqlx has the same.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| TlsError::Malformed { path: path.to_owned(), problem: error.to_string() })?;
    if chain.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NoKey { path: path.to_owned() })
}

/// Those that the system trusts, as browsers do.
fn system_authorities() -> Result<Arc<RootCertStore>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TlsError::NoSystemAuthorities(why));
    }
    Ok(Arc::new(roots))
}

fn authority(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::Authority { authority: path.to_owned(), problem: error.to_string() })?;
    }
    Ok(Arc::new(roots))
}
