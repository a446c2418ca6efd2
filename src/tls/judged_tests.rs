//! Nobody gets past a judgement: what a lenient handshake lets in is judged as strictly as any, and the proof of the private key is none
//! of what it is lenient in.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::tests::{Authority, uri};
use super::*;
use crate::domain::VehicleId;
use crate::settings::TlsFiles;

fn judging(files: TlsFiles, revoked: &Path) -> Arc<TlsServer> {
    let settings = ServerSettings { files, revoked: revoked.to_owned(), clients: ClientCertificates::Judged, protocols: &[] };
    Arc::new(TlsServer::new(settings).unwrap())
}

/// What is thought of a client; both sides have spoken over the connection, so the handshake is really over.
async fn judged(server: &Arc<TlsServer>, connect: impl AsyncFnOnce(u16) -> std::io::Result<()>) -> Result<Judgement, Undone> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = async {
        let (mut stream, judgement) = server.accept_and_judge(listener.accept().await.unwrap().0).await?;
        stream.write_all(b"!").await.unwrap();
        stream.flush().await.unwrap();
        Ok(judgement)
    };
    tokio::join!(accepting, connect(port)).0
}

async fn with_files(files: TlsFiles, port: u16) -> std::io::Result<()> {
    TlsClient::new(files, &[]).unwrap().connect("localhost", port).await?.read_u8().await.map(drop)
}

#[tokio::test]
async fn a_lenient_handshake_ends_in_the_judgement_of_the_strict_verifier() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let revoked = ours.path("revoked.pem");
    std::fs::write(&revoked, "van-1\n").unwrap();
    let server = judging(ours.server(), &revoked);
    let trusting = |files: TlsFiles| TlsFiles { authority: ours.path("authority.pem"), ..files };
    let ends_early = ours.sign("truck-8", |params| {
        params.subject_alt_names = vec![uri("urn:odograph:vehicle:truck-8")];
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    let not_for_clients = ours.sign("server-too", |params| {
        params.subject_alt_names = vec![uri("urn:odograph:vehicle:truck-8")];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    // Everybody can sign himself.
    let alone = theirs.files("authority");
    for (files, expected) in [
        (TlsFiles::default(), None),
        (theirs.vehicle("truck-7"), Some(Refused::Stranger)),
        (TlsFiles { private_key: theirs.key_of_itself(), ..alone }, Some(Refused::Stranger)),
        (ends_early, Some(Refused::Expired)),
        (not_for_clients, Some(Refused::Stranger)),
        (ours.vehicle("van-1"), Some(Refused::Revoked)),
    ] {
        let shown = format!("{files:?}");
        let judgement = judged(&server, async |port| with_files(trusting(files), port).await).await.unwrap();
        match (judgement, expected) {
            (Judgement::Nobody, None) => {}
            (Judgement::Unfit(kind, _), Some(expected)) => assert_eq!(kind, expected, "{shown}"),
            other => panic!("{other:?} for {shown}"),
        }
    }
    let judgement = judged(&server, async |port| with_files(ours.vehicle("truck-7"), port).await).await.unwrap();
    let Judgement::Proven(certificate) = judgement else { panic!("{judgement:?}") };
    assert_eq!(certificate.peer, Peer::Vehicle(VehicleId::new("truck-7").unwrap()));
}

#[tokio::test]
async fn a_certificate_whose_key_the_client_has_not_opens_no_connection() {
    let authority = Authority::new();
    let server = judging(authority.server(), Path::new(""));
    // Certificates are no secrets: anybody who listened has one of TLS 1.2.
    let (victim, thief) = (authority.vehicle("victim"), authority.vehicle("thief"));
    for version in [&TLS12, &TLS13] {
        let key = provider().key_provider.load_private_key(private_key(&thief.private_key).unwrap()).unwrap();
        let stolen = CertifiedKey::new(certificates(&victim.certificate).unwrap(), key);
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(super::authority(&victim.authority).unwrap())
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)));
        let connector = TlsConnector::from(Arc::new(config));
        let met = judged(&server, async |port| {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
            stream.read_u8().await.map(drop)
        });
        match met.await {
            Err(Undone::Refused { .. }) => {}
            other => panic!("{version:?}: {other:?}"),
        }
    }
}
