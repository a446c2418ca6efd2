//! The accepting side of TLS 1.2 and 1.3: whose certificates are wanted, and a handshake that ends in time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::judged::{Judgement, LenientVerifier, judge};
use super::revocations::Revocations;
use super::watched::Watched;
use super::{Certificate, Refused, TlsError, authority, certificates, private_key, provider};
use crate::clock;
use crate::domain::Timestamp;
use crate::settings::TlsFiles;

/// What a client may take for its part of the handshake, waiting for its turn included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes that are computed at once: each costs some hundred microseconds and up to 40 kB. Further clients wait for their turn.
const HANDSHAKES: usize = 256;

/// Whether a client has to show a certificate. Whatever is shown has to be of our authority, valid and not revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    Required,
    /// Who shows none says otherwise who it is. What is shown is judged after the handshake: [`TlsServer::accept_and_judge`].
    Judged,
    /// Nobody is asked for one.
    None,
}

/// What a server needs to know. The certificates of `files.authority` are those that sign clients.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub files: TlsFiles,
    /// Revocation lists. Empty: none.
    pub revoked: PathBuf,
    pub clients: ClientCertificates,
    /// Application protocols (ALPN) in order of preference: `h2` for gRPC. Empty: whatever the client speaks.
    pub protocols: &'static [&'static [u8]],
}

/// Shared by all connections of one server.
pub struct TlsServer {
    config: Watched<Config>,
    turns: Semaphore,
}

/// As the files are.
struct Config {
    server: Arc<ServerConfig>,
    /// `None`: nobody is asked for a certificate.
    strict: Option<Arc<dyn ClientCertVerifier>>,
    revocations: Revocations,
}

/// Why no connection came of it. Has been counted.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    #[error("the handshake was not done in time")]
    Late,
    #[error("the certificate that was shown cannot be read")]
    Unreadable,
    #[error("{source}")]
    Refused { kind: Refused, source: io::Error },
}

impl TlsServer {
    /// # Errors
    /// Where the files are missing or do not go together.
    pub fn new(settings: ServerSettings) -> Result<Self, TlsError> {
        let TlsFiles { certificate, private_key, authority } = settings.files.clone();
        let files = [certificate, private_key, authority, settings.revoked.clone()];
        let config = Watched::new("certificate", files, move || config(&settings))?;
        Ok(Self { config, turns: Semaphore::new(HANDSHAKES) })
    }

    /// Shakes hands with a client. The certificate is `None` where it showed none.
    ///
    /// # Errors
    /// Where it may not connect, with the reason; it has been told by a TLS alert.
    pub async fn accept(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Option<Certificate>), Undone> {
        let config = self.config.get();
        let stream = self.shake_hands(&config, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|der| Certificate::read(der).ok_or(Undone::Unreadable)).transpose();
        // Never taken for nobody: that may be allowed more.
        let certificate = certificate.inspect_err(|_| Refused::Stranger.count())?;
        if certificate.as_ref().is_some_and(|certificate| config.revocations.has_certificate(certificate)) {
            Refused::Revoked.count();
            let source = io::Error::other("its id is revoked");
            return Err(Undone::Refused { kind: Refused::Revoked, source });
        }
        Ok((stream, certificate))
    }

    /// Like [`TlsServer::accept`], for [`ClientCertificates::Judged`]: whoever has the key of what it shows is let in, to hear what is
    /// thought of it. Nothing else may be done for a client that is [`Judgement::Unfit`]. The judgement is not counted.
    ///
    /// # Errors
    /// Where no TLS came of it.
    pub async fn accept_and_judge(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Judgement), Undone> {
        let config = self.config.get();
        let stream = self.shake_hands(&config, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let judgement = match &config.strict {
            None => Judgement::Nobody,
            Some(strict) => judge(&**strict, &config.revocations, shown, clock::now()),
        };
        Ok((stream, judgement))
    }

    /// Why a certificate that was good when it was shown is so no more: it has ended, or is revoked. `None`: it still is.
    #[must_use]
    pub fn objection(&self, certificate: &Certificate, now: Timestamp) -> Option<Refused> {
        if certificate.valid_until < now {
            return Some(Refused::Expired);
        }
        self.config.get().revocations.has_certificate(certificate).then_some(Refused::Revoked)
    }

    async fn shake_hands(&self, config: &Config, stream: TcpStream) -> Result<TlsStream<TcpStream>, Undone> {
        let handshake = async {
            // Whoever says nothing takes no turn away.
            let mut first = [0];
            stream.peek(&mut first).await?;
            let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
            TlsAcceptor::from(Arc::clone(&config.server)).accept(stream).await
        };
        match timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => {
                let kind = kind_of(source.get_ref().and_then(|inner| inner.downcast_ref()));
                kind.count();
                Err(Undone::Refused { kind, source })
            }
            Err(_late) => {
                Refused::Handshake.count();
                Err(Undone::Late)
            }
        }
    }
}

fn config(settings: &ServerSettings) -> Result<Config, TlsError> {
    let files = &settings.files;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of both versions");
    let revocations = Revocations::read(&settings.revoked)?;
    let strict = match settings.clients {
        ClientCertificates::None => None,
        ClientCertificates::Required | ClientCertificates::Judged => Some(strict(settings, &revocations)?),
    };
    let builder = match (&strict, settings.clients) {
        (Some(strict), ClientCertificates::Judged) => {
            builder.with_client_cert_verifier(Arc::new(LenientVerifier(Arc::clone(strict))))
        }
        (Some(strict), _) => builder.with_client_cert_verifier(Arc::clone(strict)),
        (None, _) => builder.with_no_client_auth(),
    };
    let chain = certificates(&files.certificate)?;
    let mut config = builder.with_single_cert(chain, private_key(&files.private_key)?).map_err(|source| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        private_key: files.private_key.clone(),
        source,
    })?;
    // See the head of `tls`.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = settings.protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Config { server: Arc::new(config), strict, revocations })
}

fn strict(settings: &ServerSettings, revocations: &Revocations) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let path = &settings.files.authority;
    let roots: Arc<RootCertStore> = authority(path)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .with_crls(revocations.lists.iter().cloned())
        .only_check_end_entity_revocation()
        // A list speaks of its own authority only, and there may be several.
        .allow_unknown_revocation_status();
    verifier.build().map_err(|error| TlsError::Authority { authority: path.clone(), problem: error.to_string() })
}

pub(super) fn kind_of(error: Option<&Error>) -> Refused {
    match error {
        Some(Error::NoCertificatesPresented) => Refused::Stranger,
        Some(Error::InvalidCertificate(problem)) => match problem {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Refused::Expired,
            CertificateError::Revoked => Refused::Revoked,
            _ => Refused::Stranger,
        },
        _ => Refused::Handshake,
    }
}
