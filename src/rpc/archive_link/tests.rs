//! The contract of archives over a real connection, and what only a connection does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};

use super::{RemoteArchive, service};
use crate::domain::{SignalTable, Timestamp, VehicleId, VehicleRecord};
use crate::storage::contract::fixtures::{MIDNIGHT, all_of, at, record, table};
use crate::storage::contract::{self, Opened, Site};
use crate::storage::{
    ArchiveAddress, ArchiveError, ConfigurationArchive, Folder, ReadingArchive, RemoteFailure, SharedArchive, open,
};
use crate::tasks::Tasks;

/// SQLite behind a connection.
struct Linked {
    folder: Folder,
    tasks: Tasks,
}

impl Site for Linked {
    const POISON: &str = Folder::POISON;
    const CASES: u32 = 6;
    const MIGRATIONS: usize = Folder::MIGRATIONS;
    const FIRST_READING: &str = Folder::FIRST_READING;

    async fn new() -> Self {
        Self { folder: Folder::new().await, tasks: Tasks::default() }
    }

    async fn migrate(&self, migrations: usize) {
        self.folder.migrate(migrations).await;
    }

    fn address(&self) -> ArchiveAddress {
        self.folder.address()
    }

    async fn run_sql(&self, statements: &'static str) {
        self.folder.run_sql(statements).await;
    }

    async fn open(&self) -> Opened {
        let own = open(self.address(), table()).await.unwrap();
        let address = serve(own.clone(), ANY_PORT, &self.tasks);
        Opened { own, asked: Arc::new(remote(address)) }
    }
}

contract::tests!(Linked);

/// With a port of its own where `at` has none.
fn serve(archive: SharedArchive, at: SocketAddr, tasks: &Tasks) -> SocketAddr {
    let began = Instant::now();
    let listener = loop {
        match std::net::TcpListener::bind(at) {
            Ok(listener) => break listener,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(10), "{error}"),
        }
    };
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let router = Server::builder().add_service(service(archive, table()));
    tasks.spawn("archive link", async move { Ok(router.serve_with_incoming(incoming).await?) });
    address
}

/// A process with the archive: its tasks and connections end when it is dropped.
struct Process(Option<Runtime>);

impl Process {
    fn start(archive: SharedArchive, at: SocketAddr, tasks: &Tasks) -> (Self, SocketAddr) {
        let runtime = Runtime::new().unwrap();
        let address = {
            let _its_own = runtime.enter();
            serve(archive, at, tasks)
        };
        (Self(Some(runtime)), address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn remote(address: SocketAddr) -> RemoteArchive {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
    RemoteArchive::new(endpoint.connect_timeout(Duration::from_secs(3)).connect_lazy(), table())
}

async fn an_archive() -> (Folder, SharedArchive) {
    let folder = Folder::new().await;
    let archive = open(folder.address(), table()).await.unwrap();
    archive.store(&[record(&at(MIDNIGHT))]).await.unwrap();
    (folder, archive)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_while_the_other_process_is_gone_is_told_so_and_is_answered_once_it_is_back() {
    let (_folder, archive) = an_archive().await;
    let tasks = Tasks::default();
    let (process, address) = Process::start(archive.clone(), ANY_PORT, &tasks);
    let asking = remote(address);
    assert_eq!(asking.count_vehicles().await.unwrap(), 1);
    drop(process);
    let began = Instant::now();
    let mut errors = Vec::new();
    while errors.len() < 20 {
        match asking.readings(&all_of("truck-7", 10)).await {
            // It takes a moment to end.
            Ok(_) => assert!(began.elapsed() < Duration::from_secs(10)),
            Err(error) => {
                assert!(error.is_away() && error.is_transient(), "{error}");
                errors.push(error.to_string());
            }
        }
    }
    assert!(began.elapsed() < Duration::from_secs(10), "whoever waits is told at once: {errors:?}");
    let (_process, _address) = Process::start(archive, address, &tasks);
    let began = Instant::now();
    let page = loop {
        match asking.readings(&all_of("truck-7", 10)).await {
            Ok(page) => break page.unwrap(),
            Err(error) => assert!(error.is_away() && began.elapsed() < Duration::from_secs(10), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(page.readings, [at(MIDNIGHT)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_record_is_the_callers_and_says_why_and_a_silent_server_is_away() {
    let site = Linked::new().await;
    let archive = site.open().await;
    site.run_sql(
        "create trigger refusal before insert on vehicles when new.make = 'poison' begin select raise(abort, 'poison'); end",
    )
    .await;
    let id = VehicleId::new("truck-7").unwrap();
    let poisoned = VehicleRecord { make: Some("poison".to_owned()), ..VehicleRecord::default() };
    let refused = archive.put_vehicles(&[(id.clone(), poisoned.clone())], Timestamp::from_micros(1)).await.unwrap_err();
    assert!(!refused.is_transient() && !refused.is_away(), "{refused}");
    let here = archive.own.put_vehicles(&[(id.clone(), poisoned)], Timestamp::from_micros(1)).await.unwrap_err();
    assert_eq!(refused.to_string(), here.to_string());
    let implausible = VehicleRecord { tank_l: Some(-1.0), ..VehicleRecord::default() };
    let refused = archive.put_vehicles(&[(id, implausible)], Timestamp::from_micros(1)).await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("tank_l is -1"), "{refused}");
    // What the archive there cannot say for want of a server is no different from this process having none.
    for (said, failure) in [
        (ArchiveError::JustTried, RemoteFailure::Away),
        (ArchiveError::Silent { action: "answer", after: Duration::from_secs(30) }, RemoteFailure::Away),
        (ArchiveError::Unreadable { column: "readings.dtcs", value: "x".repeat(100_000) }, RemoteFailure::Other),
    ] {
        let told = super::forms::error(&super::forms::status(&said));
        let ArchiveError::Remote { failure: met, text } = &told else { panic!("{told:?}") };
        assert_eq!((*met, told.is_away(), told.is_transient()), (failure, said.is_away(), said.is_transient()));
        assert!(said.to_string().starts_with(text.as_str()) && text.len() <= 2_048, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Connections wait in its queue: nobody accepts them.
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let endpoint = endpoint
        .http2_keep_alive_interval(Duration::from_millis(200))
        .keep_alive_timeout(Duration::from_millis(200))
        .keep_alive_while_idle(true);
    let asking = RemoteArchive::new(endpoint.connect_lazy(), table());
    let began = Instant::now();
    let error = asking.newest_configuration().await.unwrap_err();
    assert!(error.is_away() && began.elapsed() < Duration::from_secs(10), "{error} after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_make_no_sense_are_refused_and_too_many_ids_are_asked_for_in_turns() {
    let site = Linked::new().await;
    let archive = site.open().await;
    let ids: Vec<VehicleId> = (0..12_000).map(|number| VehicleId::new(&format!("car-{number:05}")).unwrap()).collect();
    let batch: Vec<_> = [0, 11_999].map(|place: usize| record(&contract::fixtures::by(ids[place].as_str(), MIDNIGHT))).into();
    archive.store(&batch).await.unwrap();
    let newest = archive.newest_readings(&ids).await.unwrap();
    assert_eq!(
        newest.iter().map(|one| one.reading.vehicle_id.clone()).collect::<Vec<_>>(),
        [ids[0].clone(), ids[11_999].clone()]
    );
    let refused = archive.quarantined_messages(&vec![1; 12_000]).await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("more than 10000"), "{refused}");
    assert!(archive.put_model_file("ab", &vec![0; 129 << 20]).await.is_err_and(|error| !error.is_transient()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_that_only_the_other_process_knows_are_left_out_of_buckets() {
    let site = Linked::new().await;
    let archive = site.open().await;
    archive.store(&[record(&contract::fixtures::a_full_assessment())]).await.unwrap();
    let address = serve(archive.own.clone(), ANY_PORT, &site.tasks);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let asking = RemoteArchive::new(endpoint.connect_lazy(), Arc::new(SignalTable::default()));
    let query = crate::storage::BucketsQuery {
        vehicle_id: VehicleId::new("truck-7").unwrap(),
        from: Timestamp::from_micros(MIDNIGHT),
        to: Timestamp::from_micros(MIDNIGHT + 60_000_000),
        every: crate::storage::BucketLength::new(Duration::from_mins(1)).unwrap(),
        next: None,
        limit: 10,
    };
    let theirs = archive.buckets(&query).await.unwrap().unwrap();
    let ours = asking.buckets(&query).await.unwrap().unwrap();
    assert_eq!(theirs.buckets[0].summary.signals.len(), ours.buckets[0].summary.signals.len() + 1);
    assert_eq!(theirs, archive.own.buckets(&query).await.unwrap().unwrap());
}
