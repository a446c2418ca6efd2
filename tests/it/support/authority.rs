//! An authority of the test's own, and certificates that it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The files of a certificate for this machine, its key, and this authority.
    pub fn write(&self, folder: &Path, name: &str, uri: &str) -> [PathBuf; 3] {
        self.write_for(folder, name, vec![SanType::IpAddress([127, 0, 0, 1].into()), SanType::URI(uri.try_into().unwrap())])
    }

    /// With these alternative names.
    pub fn write_for(&self, folder: &Path, name: &str, names: Vec<SanType>) -> [PathBuf; 3] {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let files = [format!("{name}.pem"), format!("{name}.key"), "authority.pem".to_owned()].map(|name| folder.join(name));
        for (file, text) in files.iter().zip([certificate.pem(), key.serialize_pem(), self.0.pem()]) {
            std::fs::write(file, text).unwrap();
        }
        files
    }
}
