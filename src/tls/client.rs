//! The calling side of TLS: trusts one authority, or those of the system, and shows its own certificate where it has one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;

use super::watched::Watched;
use super::{TlsError, authority, certificates, private_key, provider, system_authorities};
use crate::settings::TlsFiles;

/// For the connection and the handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that stands.
pub type ClientStream = TlsStream<TcpStream>;

/// Cheap to clone. For gRPC, in a closure for `Endpoint::connect_with_connector` (the endpoint's address begins with `http://`, since
/// tonic has no part in the TLS):
/// ```ignore
/// service_fn(move |_: Uri| { let client = client.clone(); async move { client.connect("host", 7443).await.map(TokioIo::new) } })
/// ```
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<Watched<Arc<ClientConfig>>>,
}

impl TlsClient {
    /// `files.authority` signs the servers that are trusted; where it is empty, the system's authorities do. Certificate and key are shown to them, or both are empty. `protocols`:
    /// application protocols (ALPN), `h2` for gRPC.
    ///
    /// # Errors
    /// Where the files are missing or do not go together.
    pub fn new(files: TlsFiles, protocols: &'static [&'static [u8]]) -> Result<Self, TlsError> {
        let watched = [files.certificate.clone(), files.private_key.clone(), files.authority.clone()];
        let config = Watched::new("certificate of this client", watched, move || config(&files, protocols))?;
        Ok(Self { config: Arc::new(config) })
    }

    /// As the files are now, for libraries that speak TLS themselves.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&*self.config.get())
    }

    /// Connects, and makes sure that the server's certificate is for `host`, a name or an IP address.
    ///
    /// # Errors
    /// Where nobody listens, it is not who it should be, or it does not answer in time.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<ClientStream> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| io::Error::other(TlsError::Host(host.to_owned())))?;
        let connecting = async {
            let stream = TcpStream::connect((bare, port)).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(self.config()).connect(name, stream).await
        };
        timeout(CONNECT_TIMEOUT, connecting).await?
    }
}

fn config(files: &TlsFiles, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = if files.has_authority() { authority(&files.authority)? } else { system_authorities()? };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of both versions")
        .with_root_certificates(roots);
    let mut config = if files.certificate.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let chain = certificates(&files.certificate)?;
        builder.with_client_auth_cert(chain, private_key(&files.private_key)?).map_err(|source| TlsError::Mismatch {
            certificate: files.certificate.clone(),
            private_key: files.private_key.clone(),
            source,
        })?
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
