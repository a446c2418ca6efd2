//! What judged, and what people say about vehicles.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Site;
use super::fixtures::{MIDNIGHT, at, by, record};
use crate::domain::{Timestamp, VehicleId};
use crate::storage::{VehicleRegister, read_vehicles_csv};
use crate::tasks::Tasks;

pub(crate) async fn a_revision_rises_with_every_change_and_with_nothing_else<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let at = Timestamp::from_micros(1);
    assert_eq!(archive.newest_configuration().await.unwrap(), None);
    let mut revisions = Vec::new();
    for content in ["{\"rules\":1}", "{\"rules\":1}", "{\"rules\":2}", "{\"rules\":1}"] {
        revisions.push(archive.put_configuration(content, at).await.unwrap());
    }
    assert_eq!(revisions, [1, 1, 2, 3], "going back is a change too");
    assert_eq!(archive.configuration(2).await.unwrap().unwrap().content, "{\"rules\":2}");
    assert_eq!(archive.newest_configuration().await.unwrap().unwrap().revision, 3);
    archive.put_model_file("ab", b"onnx").await.unwrap();
    archive.put_model_file("ab", b"onnx").await.unwrap();
    assert_eq!(archive.model_file("ab").await.unwrap().as_deref(), Some(&b"onnx"[..]));
}

pub(crate) async fn a_registered_vehicle_is_known_after_a_restart_and_one_only_seen_is_not<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    archive.store(&[record(&at(MIDNIGHT)), record(&by("seen", MIDNIGHT))]).await.unwrap();
    let register = VehicleRegister::open(archive.clone()).await.unwrap();
    let file = "vehicle_id,class,powertrain,groups,tank_l,make\ntruck-7, heavy_truck,diesel,north; east ,800,\"Büssing, old\"\nnew,,,,,\n";
    let records = read_vehicles_csv(file.as_bytes()).unwrap();
    let now = Timestamp::from_micros(MIDNIGHT);
    assert_eq!(register.put(records.clone(), now).await.unwrap(), 2);
    assert_eq!(register.put(records.clone(), now).await.unwrap(), 0, "the same again");
    let register = VehicleRegister::open(archive.clone()).await.unwrap();
    let truck = register.get(&VehicleId::new("truck-7").unwrap()).unwrap();
    assert_eq!((&*truck, truck.class.as_str(), truck.groups.len()), (&records[0].1, "heavy_truck", 2));
    assert_eq!(truck.make.as_deref(), Some("Büssing, old"));
    assert!(register.is_registered(&VehicleId::new("new").unwrap()) && !register.is_registered(&VehicleId::new("seen").unwrap()));
    // The vehicle keeps its number, and with it its readings.
    assert_eq!(archive.store(&[record(&at(MIDNIGHT))]).await.unwrap().duplicates, 1);
}

pub(crate) async fn what_one_register_takes_in_another_hears_of<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let (registering, hearing) =
        (VehicleRegister::open(archive.clone()).await.unwrap(), VehicleRegister::open(archive.clone()).await.unwrap());
    let before = archive.register_generation().await.unwrap();
    let heard = hearing.generation().load(Ordering::Relaxed);
    let tasks = Tasks::default();
    let (hearer, stop) = (hearing.clone(), tasks.stop());
    tasks.spawn("follow", async move {
        hearer.follow(stop).await;
        Ok(())
    });
    let records = read_vehicles_csv(b"vehicle_id,class,tank_l\ntruck-7,van,0.1\n").unwrap();
    let id = records[0].0.clone();
    registering.put(records, Timestamp::from_micros(MIDNIGHT)).await.unwrap();
    let since = Instant::now();
    while !hearing.is_registered(&id) {
        assert!(since.elapsed() < Duration::from_secs(20), "nobody told it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(hearing.get(&id), registering.get(&id));
    assert!(hearing.generation().load(Ordering::Relaxed) > heard, "whoever keeps what it said asks again");
    let after = archive.register_generation().await.unwrap();
    assert!(after > before);
    assert_eq!(archive.register_generation().await.unwrap(), after, "asking changes nothing");
    tasks.request_stop();
    tasks.finished().await.unwrap();
}

pub(crate) async fn bytes_of_many_parts_come_back_whole<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let file: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
    archive.put_model_file("cd", &file).await.unwrap();
    assert_eq!(archive.model_file("cd").await.unwrap(), Some(file));
    assert_eq!(archive.model_file("none").await.unwrap(), None);
    archive.put_model_file("empty", b"").await.unwrap();
    assert_eq!(archive.model_file("empty").await.unwrap(), Some(Vec::new()));
    let content = format!("{{\"fences\":\"{}\"}}", "ü".repeat(600_000));
    let revision = archive.put_configuration(&content, Timestamp::from_micros(MIDNIGHT)).await.unwrap();
    let stored = archive.configuration(revision).await.unwrap().unwrap();
    assert_eq!((stored.created_at, stored.content), (Timestamp::from_micros(MIDNIGHT), content));
    assert_eq!(archive.configuration(revision + 1).await.unwrap(), None);
}
