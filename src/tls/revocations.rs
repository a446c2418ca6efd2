//! What is revoked: certificates, by revocation lists (PEM), and vehicles, by their ids. One file holds either or both.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use tokio_rustls::rustls::pki_types::CertificateRevocationListDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::{Certificate, Peer, TlsError, read};

/// Of certificates: their issuer, and their numbers.
type Serials = HashMap<Box<[u8]>, HashSet<Box<[u8]>>>;

/// As a file says. Signatures of the lists are checked by each handshake that they speak of.
#[derive(Debug, Default)]
pub struct Revocations {
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    certificates: Serials,
    vehicles: HashSet<Box<str>>,
}

impl Revocations {
    /// An empty path revokes nothing.
    ///
    /// # Errors
    /// Where the file is there and is no list; the message names it.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        if path.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        let bytes = read(path)?;
        let malformed = |problem: String| TlsError::Malformed { path: path.to_owned(), problem };
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        let lists = lists.map_err(|error| malformed(error.to_string()))?;
        let mut certificates = Serials::new();
        for list in &lists {
            let (_, list) = CertificateRevocationList::from_der(list)
                .map_err(|error| malformed(format!("a revocation list in it cannot be read: {error}")))?;
            let serials = certificates.entry(list.issuer().as_raw().into()).or_default();
            serials.extend(list.iter_revoked_certificates().map(|one| one.raw_serial().into()));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| malformed(error.to_string()))?;
        Ok(Self { lists, certificates, vehicles: plain_ids(text) })
    }

    #[must_use]
    pub fn has_vehicle(&self, id: &str) -> bool {
        self.vehicles.contains(id)
    }

    #[must_use]
    pub fn has_certificate(&self, certificate: &Certificate) -> bool {
        let serials = self.certificates.get(&certificate.issuer);
        let is_listed = serials.is_some_and(|serials| serials.contains(&certificate.serial));
        is_listed || matches!(&certificate.peer, Peer::Vehicle(id) if self.has_vehicle(id.as_str()))
    }
}

/// One a line, outside of PEM; `#` begins a comment.
fn plain_ids(text: &str) -> HashSet<Box<str>> {
    let mut is_pem = false;
    let mut ids = HashSet::new();
    for line in text.lines() {
        if line.starts_with("-----BEGIN ") {
            is_pem = true;
        } else if line.starts_with("-----END ") {
            is_pem = false;
        } else if !is_pem {
            let id = line.split('#').next().unwrap_or_default().trim();
            if !id.is_empty() {
                ids.insert(id.into());
            }
        }
    }
    ids
}
