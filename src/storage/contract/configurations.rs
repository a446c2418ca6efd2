//! What judged, and what people say about vehicles.

use super::Site;
use super::fixtures::{MIDNIGHT, at, by, record};
use crate::domain::{Timestamp, VehicleId};
use crate::storage::{VehicleRegister, read_vehicles_csv};

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
