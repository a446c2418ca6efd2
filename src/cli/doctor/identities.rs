//! What vehicles and services prove themselves by: certificates that end soon, and secrets that others can read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::Patient;
use super::finding::Finding;
use crate::clock;
use crate::domain::Timestamp;
use crate::ingest::passwords::Passwords;
use crate::tls::read_certificates;

const CHECK: &str = "identities";
/// Renewing takes somebody who has time for it.
const SOON: Duration = Duration::from_hours(24 * 30);
const OTHERS_READ: u32 = 0o004;

/// Certificates and authorities that the settings name.
pub fn certificates(patient: &Patient) -> Vec<Finding> {
    let settings = &patient.settings;
    let (grpc, links) = (settings.grpc.tls(), settings.links.tls());
    let mqtt = settings.mqtt.tls();
    let sections = [("grpc", grpc, "client_authority"), ("mqtt", mqtt, "client_authority"), ("links", links, "authority")];
    let now = clock::now();
    let mut findings = Vec::new();
    for (section, files, authority) in &sections {
        for (key, path) in [("certificate", &files.certificate), (*authority, &files.authority)] {
            if !path.as_os_str().is_empty() {
                findings.push(certificate(&format!("{section}.{key} = {}", path.display()), path, now));
            }
        }
        if !files.private_key.as_os_str().is_empty() {
            findings.extend(secret(&format!("{section}.private_key = {}", files.private_key.display()), &files.private_key));
        }
    }
    findings
}

/// The file of `mqtt.passwords`.
pub fn passwords(patient: &Patient) -> Vec<Finding> {
    let path = &patient.settings.mqtt.passwords;
    if path.as_os_str().is_empty() {
        return Vec::new();
    }
    let place = format!("mqtt.passwords = {}", path.display());
    if let Err(error) = Passwords::open(path) {
        return vec![
            Finding::failed(CHECK, place, error.to_string())
                .because("a service does not start with it; one that runs goes on with the file as it was")
                .next("mend the line, or delete it"),
        ];
    }
    let mut findings: Vec<_> = secret(&place, path).into_iter().collect();
    if !patient.settings.mqtt.address.ip().is_loopback() {
        findings.push(
            Finding::warning(CHECK, place.clone(), "passwords come to `mqtt.address` in the clear")
                .because("it is not on loopback, and whoever is on the way can read them")
                .next("let vehicles come by `mqtt.tls_address`, and put `mqtt.address` on loopback"),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, place, "the hashes are readable by the service and nobody else"));
    }
    findings
}

fn certificate(place: &str, path: &Path, now: Timestamp) -> Finding {
    let chain = match read_certificates(path) {
        Ok(chain) => chain,
        Err(error) => {
            return Finding::failed(CHECK, place, error.to_string())
                .because("a service does not start with it; one that runs goes on with the file as it was")
                .next("`odograph pki` makes certificates");
        }
    };
    let Some(ends_at) = chain.iter().map(|one| one.certificate.valid_until).min() else {
        return Finding::failed(CHECK, place, "there is no certificate in it");
    };
    let begins_at = chain.iter().map(|one| one.valid_since).max().unwrap_or(now);
    let renew = "`odograph pki renew DIR NAME`, or whoever signed it; running services read it again";
    if ends_at <= now {
        return Finding::failed(CHECK, place, format!("has ended at {ends_at}"))
            .because("whoever it is shown to breaks off")
            .next(renew);
    }
    if begins_at > now {
        return Finding::failed(CHECK, place, format!("is not valid before {begins_at}"))
            .because("whoever it is shown to breaks off")
            .next("look at the clock of this machine");
    }
    if ends_at.since(now) < SOON {
        return Finding::warning(CHECK, place, format!("ends at {ends_at}, in {} days", ends_at.since(now).as_secs() / 86_400))
            .because("from then on whoever it is shown to breaks off")
            .next(renew);
    }
    Finding::ok(CHECK, place, format!("is valid until {ends_at}"))
}

/// `None`: nobody but its owner and his group can read it, or it is not there, which others say.
fn secret(place: &str, path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let is_open = mode & OTHERS_READ != 0;
    is_open.then(|| {
        Finding::warning(CHECK, place, "everybody on this machine can read it")
            .because("a private key is whoever has it, and a hash can be guessed at")
            .next(format!("chmod o-rwx {}", path.display()))
    })
}
