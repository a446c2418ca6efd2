//! `odograph pki`: certificates for servers, services and vehicles of a development authority. How they are made: `pki::authority`; which
//! files there are: `pki::folder`.

mod authority;
mod folder;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use self::authority::{Authority, IssueError, Wanted};
use self::folder::{Folder, FolderError, Issued, Kind};
use super::{Exit, Failure};
use crate::clock;
use crate::domain::{Timestamp, VehicleId};
use crate::settings::Interval;
use crate::tls::Peer;

const SCHEMA_VERSION: u32 = 1;

const ABOUT: &str = "DIR/authority.pem is the authority for `client_authority` and `[links] authority`, and for vehicles; DIR/revoked.pem is the list for
`revoked`; each NAME has DIR/NAME.pem and DIR/NAME.key. Files are replaced whole, and running servers read them again, so `renew` and
`revoke` need no restart. authority.key signs whatever anybody wants to be: it is for development and small fleets; a large one keeps
such a key in hardware, and its certificates need only the same names (URI urn:odograph:vehicle:ID or urn:odograph:service:NAME).

Exit codes: 0 done; 1 it failed; 2 usage; 5 refused, since a name is taken or unknown, or DIR has an authority already.";

#[derive(Debug, clap::Subcommand)]
#[command(after_help = ABOUT)]
pub enum PkiCommand {
    /// Make a folder with a development authority
    Init {
        #[command(flatten)]
        place: Place,
        /// How long it is valid
        #[arg(long, value_name = "INTERVAL", default_value = "3650d")]
        valid_for: Interval,
    },
    /// A certificate for a server that vehicles and people connect to; it opens nothing as a client
    Server {
        #[command(flatten)]
        place: Place,
        name: String,
        /// What clients connect to: host names and IP addresses
        #[arg(long, value_name = "HOST|IP", required = true, num_args = 1..)]
        address: Vec<String>,
        /// How long it is valid
        #[arg(long, value_name = "INTERVAL", default_value = "397d")]
        valid_for: Interval,
    },
    /// A certificate for a service: a role of odograph, a gateway, a program that asks over gRPC
    Service {
        #[command(flatten)]
        place: Place,
        name: String,
        /// Where others reach it, if they do: host names and IP addresses
        #[arg(long, value_name = "HOST|IP", num_args = 1..)]
        address: Vec<String>,
        /// How long it is valid
        #[arg(long, value_name = "INTERVAL", default_value = "397d")]
        valid_for: Interval,
    },
    /// Certificates for vehicles; each may send only as itself
    Vehicle {
        #[command(flatten)]
        place: Place,
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// How long they are valid
        #[arg(long, value_name = "INTERVAL", default_value = "397d")]
        valid_for: Interval,
    },
    /// A new certificate with a new key under the same name; the one before stays valid until it ends
    Renew {
        #[command(flatten)]
        place: Place,
        name: String,
        /// How long it is valid; as long as the one before unless given
        #[arg(long, value_name = "INTERVAL")]
        valid_for: Option<Interval>,
    },
    /// Revoke every certificate that was made for a name
    Revoke {
        #[command(flatten)]
        place: Place,
        name: String,
    },
    /// What was made: name, kind, serial number, until when it is valid, and whether it is revoked
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, clap::Args)]
pub struct Place {
    /// The folder of the authority
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(command: &PkiCommand) -> anyhow::Result<ExitCode> {
    match command {
        PkiCommand::Init { place, valid_for } => {
            let authority = Folder::create(&place.folder, |path| Authority::create(path, valid_for.duration(), clock::now()))?;
            place.report(
                &[authority],
                "made a development authority, whose key lies in a file (not for production)",
                clock::now(),
            );
        }
        PkiCommand::Server { place, name, address, valid_for } => {
            let wanted = Wanted { peer: Peer::Unnamed, name, addresses: address };
            place.issue(&[wanted], Kind::Server, valid_for.duration())?;
        }
        PkiCommand::Service { place, name, address, valid_for } => {
            let wanted = Wanted { peer: Peer::Service(name.as_str().into()), name, addresses: address };
            place.issue(&[wanted], Kind::Service, valid_for.duration())?;
        }
        PkiCommand::Vehicle { place, ids, valid_for } => {
            let vehicle = |name: &String| -> anyhow::Result<Peer> { Ok(Peer::Vehicle(VehicleId::new(name)?)) };
            let peers: anyhow::Result<Vec<Peer>> =
                ids.iter().map(|id| vehicle(id).map_err(|error| usage(format!("{id:?}: {error}")))).collect();
            let wanted: Vec<_> = ids.iter().zip(peers?).map(|(name, peer)| Wanted { peer, name, addresses: &[] }).collect();
            place.issue(&wanted, Kind::Vehicle, valid_for.duration())?;
        }
        PkiCommand::Renew { place, name, valid_for } => place.renew(name, *valid_for)?,
        PkiCommand::Revoke { place, name } => place.revoke(name)?,
        PkiCommand::List { place } => {
            let folder = Folder::open(&place.folder)?;
            place.report(folder.issued(), "", clock::now());
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Place {
    /// All of them or, with an error, none is recorded.
    fn issue(&self, wanted: &[Wanted<'_>], kind: Kind, valid_for: Duration) -> anyhow::Result<()> {
        let now = clock::now();
        let mut folder = Folder::open(&self.folder)?;
        for one in wanted {
            folder.check_free(one.name)?;
        }
        let authority = Authority::open(&self.folder)?;
        let made: Result<Vec<_>, IssueError> = wanted.iter().map(|one| authority.issue(one, valid_for, now)).collect();
        let made = folder.add(wanted.iter().map(|one| one.name).zip(made?), kind)?;
        self.report(&made, "made", now);
        Ok(())
    }

    fn renew(&self, name: &str, valid_for: Option<Interval>) -> anyhow::Result<()> {
        let now = clock::now();
        let mut folder = Folder::open(&self.folder)?;
        let authority = Authority::open(&self.folder)?;
        let kind = folder.newest(name)?.kind;
        let made = authority.issue_like(
            &self.folder.join(format!("{name}.pem")),
            (name, kind),
            valid_for.map(Interval::duration),
            now,
        )?;
        let made = folder.add([(name, made)], kind)?;
        self.report(&made, "renewed with a new key", now);
        Ok(())
    }

    fn revoke(&self, name: &str) -> anyhow::Result<()> {
        let now = clock::now();
        let mut folder = Folder::open(&self.folder)?;
        let authority = Authority::open(&self.folder)?;
        let revoked = folder.revoke(name, now, |serials| authority.revocation_list(serials, now))?;
        self.report(&revoked, "revoked", now);
        Ok(())
    }

    fn report(&self, issued: &[Issued], done: &str, now: Timestamp) {
        if self.json {
            let certificates: Vec<_> = issued.iter().map(|one| one.as_json(now)).collect();
            println!("{}", json!({"schema_version": SCHEMA_VERSION, "folder": self.folder, "certificates": certificates}));
            return;
        }
        for one in issued {
            println!("{}", one.as_text(now));
        }
        if !done.is_empty() {
            eprintln!(
                "{done}: {} in {}",
                issued.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", "),
                self.folder.display()
            );
        }
    }
}

fn usage(message: String) -> anyhow::Error {
    Failure { exit: Exit::Usage, message }.into()
}

/// Which exit code it is, where it is one of ours.
pub(super) fn exit_of(error: &anyhow::Error) -> Option<Exit> {
    if error.downcast_ref().is_some_and(FolderError::is_refusal) {
        return Some(Exit::Refused);
    }
    error.downcast_ref().is_some_and(IssueError::is_usage).then_some(Exit::Usage)
}
