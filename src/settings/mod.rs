//! Every setting, its default and its check; the only reader of the environment.
//!
//! Each part gets its own section, never the whole tree. `odograph.toml` lists all of them with their defaults, and a test compares.

mod contradictions;
mod live_url;
mod load;
mod maybe_address;
mod mqtt;
mod roles;
mod rules;
mod signals;
mod slo;
mod tls;
mod units;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use live_url::{LiveUrl, LiveUrlError};
pub use load::{Mistake, SettingsError, Sources};
pub use maybe_address::MaybeAddress;
pub use mqtt::{Broker, Mqtt};
pub use roles::{Links, Role};
pub use rules::{RuleSetting, Rules};
pub use signals::{SignalSetting, signal_table};
pub use slo::{ShareObjective, Slo, TimedObjective};
pub use tls::TlsFiles;
pub use units::{ByteSize, Interval};

/// Where everything embedded keeps its files, unless told otherwise.
const DEFAULT_DATA: &str = "odograph-data";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of journal, checkpoints and the embedded archive. One process at a time holds it.
    pub data: PathBuf,
    /// What this process does; by default everything.
    pub roles: Vec<Role>,
    pub links: Links,
    pub http: Http,
    pub grpc: Grpc,
    pub mqtt: Mqtt,
    pub broker: Broker,
    pub ingest: Ingest,
    pub analytics: Analytics,
    pub fences: Fences,
    pub journal: Journal,
    pub archive: Archive,
    pub live: Live,
    pub fleet: Fleet,
    pub page: Page,
    pub slo: Slo,
    pub log: Log,
    pub rules: Rules,
    /// Signals beyond the built-in table, and `hold` for those of it.
    pub signals: Vec<SignalSetting>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Port 0 picks a free one.
    pub address: SocketAddr,
}

/// The services of `proto/odograph/v1`, health and reflection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grpc {
    /// Port 0 picks a free one.
    pub address: SocketAddr,
    /// Of this server, PEM, and its key. Empty: plain text.
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// Only clients with a certificate that this authority signed are served. Empty: everybody, so on loopback only.
    pub client_authority: PathBuf,
    /// Revocation lists of that authority, PEM. Empty: none.
    pub revoked: PathBuf,
}

impl Grpc {
    #[must_use]
    pub fn tls(&self) -> TlsFiles {
        let Self { certificate, private_key, client_authority, .. } = self.clone();
        TlsFiles { certificate, private_key, authority: client_authority }
    }
}

/// What every way in shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Larger payloads are quarantined.
    pub max_payload: ByteSize,
    /// Readings that are older are quarantined; what is stored is kept this long.
    pub retention: Interval,
    /// Messages of vehicles that nobody registered are quarantined.
    pub only_registered: bool,
    /// Messages that one vehicle may send over all ways in but a broker. 0: any number.
    pub quota_per_minute: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analytics {
    /// OS threads that own the vehicles; 0 = half of the cores, at least one.
    pub lanes: usize,
    /// Most messages that one model run takes together.
    pub batch_max: usize,
    /// Messages that wait for one lane; when full, senders wait and are not acknowledged.
    pub inbox: usize,
    /// Memory of one vehicle's window; a window that is cut makes its features missing.
    pub window_bytes: ByteSize,
    /// ONNX files that score every reading. Empty: the shipped one. No file at all: `models = ["none"]`.
    pub models: Vec<PathBuf>,
    /// The library of ONNX Runtime. Empty: beside the binary, or in `.cache/onnxruntime` where `make` puts it.
    pub onnxruntime: PathBuf,
    /// Changed vehicles are saved this often.
    pub checkpoint_every: Interval,
    /// Messages wait so long that those which overtook each other on the way are judged in their order; acknowledgements wait with them.
    pub reorder_hold: Interval,
    /// An inbox that is full for so long: explanations are left out, then, after as long again, all models of a vehicle but the first.
    /// Never a reading. 0s: nothing is left out.
    pub shed_after: Interval,
    pub alert: ModelAlert,
}

/// When a model whose contract has no limits of its own raises an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelAlert {
    /// A reading raises where so few held-out normal readings, or fewer, score as high. A model that was calibrated on too few readings
    /// to tell such a probability never alerts.
    pub open_tail_probability: f64,
    /// An alert is held until the tail probability is above this.
    pub close_tail_probability: f64,
    /// It opens when `raised` of the last `of` scored readings raised.
    pub raised: u8,
    pub of: u8,
    /// It closes after this long without a raised or holding reading, and at least `calm_readings` calm ones.
    pub calm_for: Interval,
    pub calm_readings: u8,
}

/// Areas on the map with a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fences {
    /// GeoJSON files. None: the fences that were put over the API, if any.
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    pub segment: ByteSize,
    /// At this size the journal acknowledges nothing more until the archive has caught up. 24 hours at 333 readings/s.
    pub max: ByteSize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// `sqlite://FILE`. Empty: `archive.sqlite` in the data folder.
    pub url: String,
    /// Most records stored in one transaction.
    pub batch_max: usize,
    /// Least time between two transactions, so that a quiet fleet costs few.
    pub pause: Interval,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    /// Where the newest state of every vehicle and the alert queue are for other processes. This one reads its memory in any case.
    pub url: LiveUrl,
    /// Newest states kept in memory, about 1 kB each. Beyond it, vehicles that were silent longest are read from the archive.
    pub max_vehicles: usize,
}

/// When a vehicle that says nothing is shown as such; one that is parked is not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    pub stale_after: Interval,
    pub offline_after: Interval,
}

/// What the page may ask outside of this process: by default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// Address of a `MapLibre` style. Empty: the background that is part of the page.
    pub map_style: String,
    /// Where that style's tiles, glyphs and sprites come from, if not from its own origin.
    pub map_origins: Vec<String>,
    /// A PMTiles file that is drawn instead, out of this process.
    pub map_tiles: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What `RUST_LOG` would say: `info`, `odograph=debug,warn` …
    pub filter: String,
    /// `text` or `json`, to stderr.
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from(DEFAULT_DATA),
            roles: Role::ALL.to_vec(),
            links: Links::default(),
            http: Http::default(),
            grpc: Grpc::default(),
            mqtt: Mqtt::default(),
            broker: Broker::default(),
            ingest: Ingest::default(),
            analytics: Analytics::default(),
            fences: Fences::default(),
            journal: Journal::default(),
            archive: Archive::default(),
            live: Live::default(),
            fleet: Fleet::default(),
            page: Page::default(),
            slo: Slo::default(),
            log: Log::default(),
            rules: Rules::default(),
            signals: Vec::new(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { address: loopback(8080) }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            address: loopback(50051),
            certificate: PathBuf::new(),
            private_key: PathBuf::new(),
            client_authority: PathBuf::new(),
            revoked: PathBuf::new(),
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            max_payload: ByteSize::from_kib(256),
            retention: Interval::from_days(400),
            only_registered: false,
            quota_per_minute: 0,
        }
    }
}

impl Default for Analytics {
    fn default() -> Self {
        Self {
            lanes: 0,
            batch_max: 512,
            inbox: 4_096,
            window_bytes: ByteSize::from_kib(64),
            models: Vec::new(),
            onnxruntime: PathBuf::new(),
            checkpoint_every: Interval::from_secs(10),
            reorder_hold: Interval::from_secs(0),
            shed_after: Interval::from_secs(2),
            alert: ModelAlert::default(),
        }
    }
}

impl Default for ModelAlert {
    /// A vehicle that reports every 30 s sends 2,880 readings a day: a probability of 1e-5 is one in 35 vehicle-days, and three of five
    /// readings beyond it are far rarer as far as they are independent.
    fn default() -> Self {
        Self {
            open_tail_probability: 1e-5,
            close_tail_probability: 1e-3,
            raised: 3,
            of: 5,
            calm_for: Interval::from_secs(300),
            calm_readings: 3,
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { segment: ByteSize::from_mib(64), max: ByteSize::from_mib(8 * 1024) }
    }
}

impl Default for Archive {
    fn default() -> Self {
        Self { url: String::new(), batch_max: 4_000, pause: Interval::from_millis(200) }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { url: LiveUrl::default(), max_vehicles: 1_000_000 }
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self { stale_after: Interval::from_millis(300_000), offline_after: Interval::from_millis(1_800_000) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info,mqtt5=error".to_owned(), format: LogFormat::Text }
    }
}
