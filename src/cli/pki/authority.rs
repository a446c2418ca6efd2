//! A development authority: signs certificates and revocation lists with a key that lies in a file. All that knows `rcgen`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};

use super::folder::{AUTHORITY, Kind, Made, write_private, write_public};
use crate::domain::Timestamp;
use crate::tls::{self, Certificate, CertificateFile, Peer, TlsError};

/// Clocks of vehicles are late, too.
const VALID_SINCE: Duration = Duration::from_hours(1);
/// Nobody has to come by and sign it again; what is on it counts from the moment that a server reads it.
const LIST_VALID_FOR: Duration = Duration::from_hours(24 * 3650);

#[derive(Debug, thiserror::Error)]
pub(super) enum IssueError {
    #[error("cannot read {path}: {source}; `odograph pki init` makes an authority")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("{0:?} is no host name and no IP address")]
    Address(String),
    #[error("there is no certificate that could be renewed: {source}")]
    NoCertificate { source: TlsError },
    #[error("{what} cannot be signed: {source}")]
    Signing { what: String, source: rcgen::Error },
}

impl IssueError {
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Address(_))
    }
}

/// What a certificate is to say.
pub(super) struct Wanted<'a> {
    /// [`Peer::Unnamed`]: a server, which is nobody as a client.
    pub peer: Peer,
    pub name: &'a str,
    pub addresses: &'a [String],
}

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one in a folder that has none.
    ///
    /// # Errors
    /// Where its files cannot be written.
    pub fn create(folder: &Path, valid_for: Duration, now: Timestamp) -> Result<Made, IssueError> {
        let failed = |source| IssueError::Signing { what: "the authority".to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Odograph development authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut params, valid_for, now);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        write_authority(
            folder,
            Made { certificate: certificate.pem(), private_key: key.serialize_pem(), says: says(&certificate) },
        )
    }

    /// # Errors
    /// Where there is none in the folder.
    pub fn open(folder: &Path) -> Result<Self, IssueError> {
        let read = |name: String| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| IssueError::Unreadable { path, source })
        };
        let (certificate, key) = (read(format!("{AUTHORITY}.pem"))?, read(format!("{AUTHORITY}.key"))?);
        let failed = |source| IssueError::Signing { what: "anything with this authority".to_owned(), source };
        let key = KeyPair::from_pem(&key).map_err(failed)?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(&certificate, key).map_err(failed)? })
    }

    pub fn issue(&self, wanted: &Wanted<'_>, valid_for: Duration, now: Timestamp) -> Result<Made, IssueError> {
        let failed = |source| IssueError::Signing { what: wanted.name.to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = named(wanted.name);
        params.subject_alt_names = wanted.addresses.iter().map(|address| alternative(address)).collect::<Result<_, _>>()?;
        if let Some(uri) = wanted.peer.uri() {
            params.subject_alt_names.push(SanType::URI(uri.try_into().map_err(failed)?));
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if !wanted.addresses.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, valid_for, now);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Made { certificate: certificate.pem(), private_key: key.serialize_pem(), says: says(&certificate) })
    }

    /// With the names of a certificate that is there, and for as long unless told otherwise.
    pub fn issue_like(
        &self,
        path: &Path,
        (name, kind): (&str, Kind),
        valid_for: Option<Duration>,
        now: Timestamp,
    ) -> Result<Made, IssueError> {
        let mut read = tls::read_certificates(path).map_err(|source| IssueError::NoCertificate { source })?;
        let CertificateFile { certificate, valid_since, addresses } = read.swap_remove(0);
        let before = certificate.valid_until.since(valid_since.plus(VALID_SINCE));
        // A server has no name as a client; its common name may look like a vehicle's.
        let peer = if kind == Kind::Server { Peer::Unnamed } else { certificate.peer };
        self.issue(&Wanted { peer, name, addresses: &addresses }, valid_for.unwrap_or(before), now)
    }

    /// In PEM. `serials`: numbers and since when they do not count any more.
    pub fn revocation_list(&self, serials: &[(Vec<u8>, Timestamp)], now: Timestamp) -> Result<String, IssueError> {
        let failed = |source| IssueError::Signing { what: "the revocation list".to_owned(), source };
        let epoch = date_time_ymd(1970, 1, 1);
        let revoked = |(serial, at): &(Vec<u8>, Timestamp)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: epoch + since_epoch(*at),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: epoch + since_epoch(now),
            next_update: epoch + since_epoch(now.plus(LIST_VALID_FOR)),
            // Only ever rises.
            crl_number: SerialNumber::from(now.as_micros().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(failed)
    }
}

fn write_authority(folder: &Path, made: Made) -> Result<Made, IssueError> {
    let unwritable = |path: &Path, source| IssueError::Unwritable { path: path.to_owned(), source };
    let (key, certificate) = (folder.join(format!("{AUTHORITY}.key")), folder.join(format!("{AUTHORITY}.pem")));
    write_private(&key, &made.private_key).map_err(|source| unwritable(&key, source))?;
    write_public(&certificate, &made.certificate).map_err(|source| unwritable(&certificate, source))?;
    Ok(made)
}

fn says(certificate: &rcgen::Certificate) -> Certificate {
    Certificate::read(certificate.der()).expect("what was just made is a certificate")
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn alternative(address: &str) -> Result<SanType, IssueError> {
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let is_name = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte));
    let name = if is_name { address.to_owned().try_into().ok() } else { None };
    name.map(SanType::DnsName).ok_or_else(|| IssueError::Address(address.to_owned()))
}

fn valid(params: &mut CertificateParams, valid_for: Duration, now: Timestamp) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now.minus(VALID_SINCE));
    params.not_after = epoch + since_epoch(now.plus(valid_for));
}

/// In whole seconds, as certificates have them.
fn since_epoch(moment: Timestamp) -> Duration {
    Duration::from_secs(moment.as_micros().max(0).unsigned_abs() / 1_000_000)
}
