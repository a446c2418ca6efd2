//! Handshakes over real sockets: who gets in, who is told why not, and what happens when files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::*;
use crate::settings::TlsFiles;

/// An authority in a folder, and what it signed.
pub(super) struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn sign(&self, name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> TlsFiles {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        self.files(name)
    }

    pub fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            certificate: self.path(&format!("{name}.pem")),
            private_key: self.path(&format!("{name}.key")),
            authority: self.path("authority.pem"),
        }
    }

    /// Of its own certificate.
    pub fn key_of_itself(&self) -> PathBuf {
        std::fs::write(self.path("authority.key"), self.issuer.key().serialize_pem()).unwrap();
        self.path("authority.key")
    }

    pub fn server(&self) -> TlsFiles {
        self.sign("server", |params| params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())])
    }

    pub fn vehicle(&self, id: &str) -> TlsFiles {
        self.sign(id, |params| params.subject_alt_names = vec![uri(&format!("urn:odograph:vehicle:{id}"))])
    }
}

pub(super) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn server(files: TlsFiles, revoked: &Path) -> Arc<TlsServer> {
    let settings = ServerSettings { files, revoked: revoked.to_owned(), clients: ClientCertificates::Required, protocols: &[] };
    Arc::new(TlsServer::new(settings).unwrap())
}

/// What the server thinks of a client, and the client of the server: after a word in each direction.
async fn meet(server: &Arc<TlsServer>, client: TlsFiles) -> (Result<Option<Certificate>, Undone>, std::io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, certificate) = server.accept(stream).await?;
        stream.write_all(b"!").await.unwrap();
        stream.flush().await.unwrap();
        let _gone = stream.read_u8().await;
        Ok(certificate)
    };
    let connecting = async {
        let mut stream = TlsClient::new(client, &[]).unwrap().connect("localhost", port).await?;
        // In TLS 1.3 a client hears only now that it was refused.
        stream.read_u8().await.map(drop)
    };
    tokio::join!(accepting, connecting)
}

fn kind(met: &Result<Option<Certificate>, Undone>) -> Refused {
    match met {
        Err(Undone::Refused { kind, .. }) => *kind,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_of_our_authority_gets_in_and_says_who_it_is() {
    let authority = Authority::new();
    let server = server(authority.server(), Path::new(""));
    let (met, heard) = meet(&server, authority.vehicle("truck-7")).await;
    heard.unwrap();
    assert_eq!(met.unwrap().unwrap().peer, Peer::Vehicle(crate::domain::VehicleId::new("truck-7").unwrap()));
}

#[tokio::test]
async fn strangers_and_expired_certificates_are_told_by_an_alert() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = server(ours.server(), Path::new(""));

    let mut stranger = theirs.vehicle("truck-7");
    stranger.authority = ours.path("authority.pem");
    let (met, heard) = meet(&server, stranger).await;
    assert_eq!(kind(&met), Refused::Stranger);
    heard.unwrap_err();

    let nobody = TlsFiles { authority: ours.path("authority.pem"), ..TlsFiles::default() };
    let (met, heard) = meet(&server, nobody).await;
    assert_eq!(kind(&met), Refused::Stranger);
    assert!(heard.unwrap_err().to_string().contains("CertificateRequired"));

    let expired = ours.sign("truck-8", |params| {
        params.subject_alt_names = vec![uri("urn:odograph:vehicle:truck-8")];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let (met, heard) = meet(&server, expired).await;
    assert_eq!(kind(&met), Refused::Expired);
    assert!(heard.unwrap_err().to_string().contains("CertificateExpired"));
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_once_the_list_says_so_without_a_restart() {
    let authority = Authority::new();
    let revoked = authority.path("revoked.pem");
    std::fs::write(&revoked, "").unwrap();
    let server = server(authority.server(), &revoked);
    let files = authority.vehicle("truck-7");
    let certificate = certificates(&files.certificate).unwrap().remove(0);
    let serial = Certificate::read(&certificate).unwrap().serial;
    meet(&server, files.clone()).await.1.unwrap();

    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2126, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let issuer: &Issuer<'_, KeyPair> = &authority.issuer;
    std::fs::write(&revoked, list.signed_by(issuer).unwrap().pem().unwrap() + "# and by its name\nvan-1\n").unwrap();
    assert!(Revocations::read(&revoked).unwrap().has_certificate(&Certificate::read(&certificate).unwrap()));
    assert!(Revocations::read(&revoked).unwrap().has_vehicle("van-1"));
    let (met, heard) = once(async || Some(meet(&server, files.clone()).await).filter(|(met, _)| met.is_err())).await;
    assert_eq!(kind(&met), Refused::Revoked);
    assert!(heard.unwrap_err().to_string().contains("CertificateRevoked"));
    meet(&server, authority.vehicle("truck-9")).await.1.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_half_a_file_is_not() {
    let authority = Authority::new();
    let files = authority.server();
    let server = server(files.clone(), Path::new(""));
    let client = authority.vehicle("truck-7");
    std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let (first, began) = (shown_by(&server, &client).await, Instant::now());
    while began.elapsed() < Duration::from_millis(1_500) {
        assert_eq!(shown_by(&server, &client).await, first, "half a file changes nothing");
    }
    authority.server();
    once(async || Some(shown_by(&server, &client).await).filter(|shown| *shown != first)).await;
}

#[test]
fn a_name_is_taken_from_where_it_stands_and_two_names_are_none() {
    let authority = Authority::new();
    let vehicle = |id| Peer::Vehicle(crate::domain::VehicleId::new(id).unwrap());
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let cases = [
        (vec![uri("urn:odograph:vehicle:truck-7"), dns("van-1")], vehicle("truck-7")),
        (vec![uri("urn:odograph:service:dashboard")], Peer::Service("dashboard".into())),
        (vec![uri("urn:odograph:vehicle:a"), uri("urn:odograph:service:b")], Peer::Unnamed),
        (vec![uri("urn:odograph:vehicle:not an id".replace(' ', "%20").as_str())], Peer::Unnamed),
        (vec![uri("https://example.org/"), dns("van-1")], vehicle("van-1")),
        (vec![dns("van-1"), dns("van-2")], Peer::Unnamed),
        (vec![dns("van.example.org")], vehicle("common-name")),
        (vec![], vehicle("common-name")),
    ];
    for (names, expected) in cases {
        let shown = format!("{names:?}");
        let files = authority.sign("common-name", |params| params.subject_alt_names = names);
        let certificate: CertificateDer<'_> = certificates(&files.certificate).unwrap().remove(0);
        assert_eq!(Certificate::read(&certificate).unwrap().peer, expected, "{shown}");
    }
}

/// The server's certificate as a client sees it.
async fn shown_by(server: &Arc<TlsServer>, client: &TlsFiles) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TlsClient::new(client.clone(), &[]).unwrap();
    let (accepted, connected) =
        tokio::join!(async { server.accept(listener.accept().await.unwrap().0).await }, client.connect("localhost", port));
    accepted.unwrap();
    connected.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Asks until there is an answer; files are looked at once a second.
async fn once<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Some(answer) => return answer,
            None => assert!(began.elapsed() < Duration::from_secs(30), "nothing changed"),
        }
    }
}
