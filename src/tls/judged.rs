//! Certificates that are judged after the handshake instead of in it. An MQTT 5 client that is turned away may then hear why in words of
//! its own protocol; a TLS alert says little, and in TLS 1.3 most clients never see it.
//!
//! The handshake is lenient in one thing alone: it does not ask who signed the certificate, nor whether it is still valid. That the client
//! has the private key is proven by its signature as ever. What comes out is a [`Judgement`] by the same verifier that strict servers
//! use; without [`Judgement::Proven`] nobody is anybody.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::revocations::Revocations;
use super::server::kind_of;
use super::{Certificate, Refused};
use crate::domain::Timestamp;

/// What is to be thought of a client that has shaken hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It showed no certificate, or none was asked for.
    Nobody,
    /// Its certificate is of our authority, valid and not revoked.
    Proven(Certificate),
    /// It is not, and why: to be told to the client, who then goes.
    Unfit(Refused, &'static str),
}

/// Lets every certificate through whose private key the client has.
#[derive(Debug)]
pub(super) struct LenientVerifier(pub Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for LenientVerifier {
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// By `strict`, which the handshake did not ask. `chain`: as the client showed it, its own certificate first.
pub(super) fn judge(
    strict: &dyn ClientCertVerifier,
    revocations: &Revocations,
    chain: &[CertificateDer<'_>],
    now: Timestamp,
) -> Judgement {
    let Some((own, others)) = chain.split_first() else { return Judgement::Nobody };
    let seconds = std::time::Duration::from_micros(now.as_micros().max(0).unsigned_abs());
    if let Err(error) = strict.verify_client_cert(own, others, UnixTime::since_unix_epoch(seconds)) {
        return match kind_of(Some(&error)) {
            Refused::Expired => {
                Judgement::Unfit(Refused::Expired, "the certificate is not valid now: it has ended, or has not begun")
            }
            Refused::Revoked => Judgement::Unfit(Refused::Revoked, REVOKED),
            _ => {
                Judgement::Unfit(Refused::Stranger, "the certificate is not of the authority of this service, or not for clients")
            }
        };
    }
    match Certificate::read(own) {
        None => Judgement::Unfit(Refused::Stranger, "the certificate cannot be read"),
        Some(certificate) if revocations.has_certificate(&certificate) => Judgement::Unfit(Refused::Revoked, REVOKED),
        Some(certificate) => Judgement::Proven(certificate),
    }
}

const REVOKED: &str = "the certificate is revoked";
