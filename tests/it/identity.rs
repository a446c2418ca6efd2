//! Vehicles prove who they are: `odograph pki` and `odograph password` make what they prove it with, and the running program lets nobody in
//! who is not who it says, tells it why, and counts it. A right vehicle goes on beside all of them.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use odograph::clock;
use odograph::settings::TlsFiles;
use odograph::tls::TlsClient;
use odograph::wire::proto::v1;
use odograph::wire::proto::v1::telemetry_service_client::TelemetryServiceClient;
use odograph::wire::reading::timestamp_to_proto;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::support::device::{Device, Heard, Hello, NotLetIn};
use crate::support::pki::Pki;
use crate::support::{Site, odograph, wait_for};

/// Files are looked at once a second, open connections too.
const REVOKED_WITHIN: Duration = Duration::from_secs(10);

/// Settings with everything that a vehicle can prove itself by. `more`: further lines.
fn settings(pki: &Pki, more: &str) -> String {
    let file = |name: &str| pki.file(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("front-door.pem"), file("front-door.key"));
    let tls = format!(
        "certificate = {certificate:?}\nprivate_key = {key:?}\nclient_authority = {:?}\nrevoked = {:?}\n",
        file("authority.pem"),
        file("revoked.pem")
    );
    let passwords = file("passwords");
    format!(
        "[analytics]\nmodels = [\"none\"]\n[grpc]\n{tls}[mqtt]\ntls_address = \"127.0.0.1:0\"\npasswords = {passwords:?}\n{tls}{more}"
    )
}

/// A password as `odograph password` makes it.
fn password(pki: &Pki, vehicle_id: &str) -> String {
    let output = odograph(&["password", pki.file("passwords").to_str().unwrap(), vehicle_id]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn payload(sequence: u64) -> String {
    format!(r#"{{"recorded_at":"{}","sequence":{sequence},"signals":{{"speed_km_per_h":63.2}}}}"#, clock::now())
}

fn topic(vehicle_id: &str) -> String {
    format!("vehicles/{vehicle_id}/telemetry")
}

#[track_caller]
fn refused(met: Result<Device, NotLetIn>) -> (u8, String) {
    match met {
        Err(NotLetIn::Refused { code, reason }) => (code, reason),
        other => panic!("{other:?}"),
    }
}

/// How often the front door turned somebody away for this reason.
#[expect(clippy::cast_possible_truncation, reason = "a whole number")]
fn turned_away(site: &Site, reason: &str) -> i64 {
    let name = format!("odograph_front_door_refused_total{{reason=\"{reason}\"}}");
    site.api().metric(&name).unwrap_or(0.0) as i64
}

async fn telemetry(site: &Site, files: &TlsFiles) -> Result<TelemetryServiceClient<Channel>, tonic::transport::Error> {
    let (client, port) = (TlsClient::new(files.clone(), &[b"h2"]).unwrap(), site.service().grpc().port());
    let connector = tower::service_fn(move |_: tonic::codegen::http::Uri| {
        let client = client.clone();
        async move { client.connect("127.0.0.1", port).await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://front-door").connect_with_connector(connector).await?;
    Ok(TelemetryServiceClient::new(channel))
}

async fn send_over_grpc(site: &Site, files: &TlsFiles, vehicle_id: &str) -> Result<u32, Status> {
    let mut client = telemetry(site, files).await.map_err(|error| Status::unavailable(error.to_string()))?;
    let reading = v1::TelemetryReading {
        vehicle_id: vehicle_id.to_owned(),
        recorded_at: Some(timestamp_to_proto(clock::now())),
        signals: Some(v1::Signals { speed_km_per_h: Some(50.0), ..v1::Signals::default() }),
        ..v1::TelemetryReading::default()
    };
    Ok(client.ingest_reading(reading).await?.into_inner().accepted)
}

#[tokio::test]
async fn certificates_of_odograph_pki_open_grpc_and_mqtt_and_are_renewed_without_a_restart() {
    let pki = Pki::new();
    pki.server("front-door");
    password(&pki, "unused");
    let vehicle = pki.vehicle("truck-7");
    let brief = pki.vehicle_for("truck-8", "2s");
    let site = Site::with_settings(&settings(&pki, ""));
    let hello = Hello::new("truck-7").with(&vehicle);
    let mut device = Device::open(site.service().mqtts(), &hello).unwrap();
    let first = device.certificate_of_the_service().unwrap();
    assert_eq!(device.publish(&topic("truck-7"), payload(1).as_bytes()), Heard::Acknowledged { packet_id: 1 });
    assert_eq!(send_over_grpc(&site, &vehicle, "truck-7").await.unwrap(), 1);
    assert_eq!(send_over_grpc(&site, &vehicle, "truck-8").await.unwrap_err().code(), Code::PermissionDenied);

    pki.renew("front-door");
    pki.renew("truck-7");
    wait_for("the new certificate", REVOKED_WITHIN, || {
        let device = Device::open(site.service().mqtts(), &hello).unwrap();
        (device.certificate_of_the_service().unwrap() != first).then_some(())
    });
    // Whoever was connected stays so, unless somebody comes by the same name: which those above did.
    assert_eq!(send_over_grpc(&site, &vehicle, "truck-7").await.unwrap(), 1);

    let met = wait_for("the end of a certificate", REVOKED_WITHIN, || {
        Device::open(site.service().mqtts(), &Hello::new("truck-8").with(&brief)).err()
    });
    let NotLetIn::Refused { code: 0x87, reason } = met else { panic!("{met:?}") };
    assert!(reason.contains("is not valid now"), "{reason}");
    // A TLS alert, which comes after the client thinks that it is connected.
    send_over_grpc(&site, &brief, "truck-8").await.unwrap_err();
}

#[test]
fn a_stranger_a_thief_and_whoever_is_late_hear_why_and_a_right_vehicle_goes_on_beside_them() {
    let (pki, foreign) = (Pki::new(), Pki::new());
    pki.server("front-door");
    let [right, victim, unregistered, caught] = ["right", "victim", "unregistered", "caught"].map(|id| pki.vehicle(id));
    let expired = pki.vehicle_for("expired", "0s");
    // Certificates count whole seconds.
    let ended = clock::now().plus(Duration::from_secs(1));
    pki.revoke("caught");
    // It says the same name, and trusts the same server.
    let stranger = TlsFiles { authority: pki.file("authority.pem"), ..foreign.vehicle("victim") };
    let by_password = password(&pki, "by-password");
    let site = Site::with_settings(&settings(&pki, "[ingest]\nonly_registered = true\n"));
    for id in ["right", "victim", "caught", "expired", "by-password"] {
        assert!(site.api().put(&format!("/api/v1/vehicles/{id}"), "application/json", b"{}").status < 300);
    }
    let (plain, secured) = (site.service().mqtt(), site.service().mqtts());
    let nobody = pki.nobody();
    wait_for("the end of a certificate", REVOKED_WITHIN, || (clock::now() > ended).then_some(()));

    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut device = Device::open(secured, &Hello::new("right").with(&right)).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                let heard = device.publish(&topic("right"), payload(number).as_bytes());
                assert!(matches!(heard, Heard::Acknowledged { .. }), "{heard:?}");
            }
        });
        // Ends the loop above also where an assertion fails.
        let ends = crate::support::fleet::StopsWhenDropped(&is_over);

        let victim_by_name = Hello::new("victim");
        let cases = [
            (victim_by_name.with(&stranger), secured, (0x87, 5), "not of the authority", "stranger"),
            (victim_by_name.with(&nobody), secured, (0x87, 5), "proves who it is", "stranger"),
            (victim_by_name, plain, (0x87, 5), "proves who it is", "stranger"),
            (Hello::new("expired").with(&expired), secured, (0x87, 5), "not valid now", "expired"),
            (Hello::new("caught").with(&caught), secured, (0x87, 5), "revoked", "revoked"),
            (Hello::new("by-password").knowing("by-password", "wrong"), plain, (0x86, 4), "wrong", "wrong_password"),
            (Hello::new("unknown").knowing("unknown", "wrong"), plain, (0x86, 4), "wrong", "wrong_password"),
            (Hello::new("unregistered").with(&unregistered), secured, (0x87, 5), "registered", "unregistered"),
            // A client identifier of another would throw that one off.
            (Hello::new("right").with(&victim), secured, (0x85, 2), "client identifier", "stolen_id"),
            (Hello::new("right").knowing("by-password", &by_password), plain, (0x85, 2), "client identifier", "stolen_id"),
        ];
        for (hello, address, (code, return_code), words, kind) in cases {
            let before = turned_away(&site, kind);
            let (heard, reason) = refused(Device::open(address, &hello));
            assert_eq!(heard, code, "{hello:?}");
            assert!(reason.contains(words), "{hello:?}: {reason}");
            assert_eq!(refused(Device::open(address, &hello.in_3_1_1())), (return_code, String::new()), "{hello:?}");
            assert_eq!(turned_away(&site, kind), before + 2, "{hello:?}");
        }

        // Another's topic, in both versions.
        let before = turned_away(&site, "stolen_id");
        let thief = Hello::new("by-password").knowing("by-password", &by_password);
        let mut device = Device::open(plain, &thief).unwrap();
        for stolen in [topic("victim"), "vehicles/victim/alerts".to_owned(), "anything/else".to_owned()] {
            assert_eq!(device.publish(&stolen, payload(1).as_bytes()), Heard::Refused { reason: 0x87 }, "{stolen}");
        }
        let mut old = Device::open(plain, &thief.in_3_1_1()).unwrap();
        assert_eq!(old.publish(&topic("victim"), payload(2).as_bytes()), Heard::Disconnected { reason: None });
        // Another's name inside of its own topic.
        let mut device = Device::open(plain, &thief).unwrap();
        let inside = payload(3).replacen('{', r#"{"vehicle_id":"victim","#, 1);
        assert!(matches!(device.publish(&topic("by-password"), inside.as_bytes()), Heard::Acknowledged { .. }));
        assert!(matches!(device.publish(&topic("by-password"), payload(4).as_bytes()), Heard::Acknowledged { .. }));
        let in_quarantine = || (site.api().quarantined("vehicle_id_mismatch") == 1).then_some(());
        wait_for("the name inside", Duration::from_secs(20), in_quarantine);
        assert_eq!(turned_away(&site, "stolen_id"), before + 4, "two topics, the disconnect, and the name inside");
        drop(ends);
    });
    let sent = sent.load(Ordering::Relaxed);
    println!("the right vehicle sent {sent} readings meanwhile, each acknowledged");
    wait_for("what was acknowledged", Duration::from_secs(20), || {
        (site.api().readings("right").len() as u64 == sent).then_some(())
    });
    assert!(site.api().vehicle("victim").is_none_or(|vehicle| vehicle["recorded_at"].is_null()), "nothing of it was stored");
    assert!(site.api().readings("victim").is_empty());
    wait_for("its own reading", Duration::from_secs(20), || (site.api().readings("by-password").len() == 1).then_some(()));
}

#[test]
fn a_certificate_that_is_revoked_and_a_password_that_is_taken_away_end_what_is_open() {
    let pki = Pki::new();
    pki.server("front-door");
    let [kept, caught] = ["kept", "caught"].map(|id| pki.vehicle(id));
    let gateway = pki.service("gateway");
    let (stays, goes) = (password(&pki, "stays"), password(&pki, "goes"));
    let site = Site::with_settings(&settings(&pki, ""));
    let (plain, secured) = (site.service().mqtt(), site.service().mqtts());
    let mut kept = Device::open(secured, &Hello::new("kept").with(&kept)).unwrap();
    let mut gone = Device::open(secured, &Hello::new("caught").with(&caught)).unwrap();
    let mut gateway = Device::open(secured, &Hello::new("gateway").with(&gateway)).unwrap();
    let mut stays = Device::open(plain, &Hello::new("stays").knowing("stays", &stays)).unwrap();
    let mut goes_away = Device::open(plain, &Hello::new("goes").knowing("goes", &goes)).unwrap();
    let mut old = Device::open(plain, &Hello::new("goes").knowing("goes", &goes).in_3_1_1());
    // The older one of a name is thrown off by the newer.
    assert!(matches!(goes_away.hear(REVOKED_WITHIN), Heard::Disconnected { .. }));

    let since = Instant::now();
    pki.revoke("caught");
    assert_eq!(gone.hear(REVOKED_WITHIN), Heard::Disconnected { reason: Some(0x87) });
    println!("revoked: gone after {:?}", since.elapsed());
    pki.revoke("gateway");
    assert_eq!(gateway.hear(REVOKED_WITHIN), Heard::Disconnected { reason: Some(0x87) });

    let lines = std::fs::read_to_string(pki.file("passwords")).unwrap();
    let rest: String = lines.lines().filter(|line| !line.starts_with("goes:")).flat_map(|line| [line, "\n"]).collect();
    std::fs::write(pki.file("passwords"), rest).unwrap();
    assert_eq!(old.as_mut().unwrap().hear(REVOKED_WITHIN), Heard::Disconnected { reason: None });
    assert_eq!(refused(Device::open(plain, &Hello::new("goes").knowing("goes", &goes))).0, 0x86);
    // Another password for the same name is another password.
    password(&pki, "stays");
    assert_eq!(stays.hear(REVOKED_WITHIN), Heard::Disconnected { reason: Some(0x87) });

    assert!(matches!(kept.publish(&topic("kept"), payload(1).as_bytes()), Heard::Acknowledged { .. }));
    assert_eq!(turned_away(&site, "revoked"), 4);
}

#[test]
fn a_gateway_sends_for_any_vehicle_under_its_own_name_and_no_other() {
    let pki = Pki::new();
    pki.server("front-door");
    password(&pki, "unused");
    let gateway = pki.service("gateway");
    let site = Site::with_settings(&settings(&pki, ""));
    let secured = site.service().mqtts();
    let mut device = Device::open(secured, &Hello::new("gateway").with(&gateway)).unwrap();
    for id in ["truck-1", "truck-2"] {
        assert!(matches!(device.publish(&topic(id), payload(1).as_bytes()), Heard::Acknowledged { .. }));
    }
    assert_eq!(device.publish("vehicles/truck-1/alerts", payload(1).as_bytes()), Heard::Refused { reason: 0x87 });
    assert_eq!(refused(Device::open(secured, &Hello::new("truck-1").with(&gateway))).0, 0x85);
    // A server's certificate is for being asked, not for asking.
    let server = pki.files("front-door");
    assert_eq!(refused(Device::open(secured, &Hello::new("front-door").with(&server))).0, 0x87);
}

#[tokio::test]
async fn a_flood_of_one_vehicle_is_stopped_at_its_quota_on_every_way_in_and_costs_its_neighbour_nothing() {
    let pki = Pki::new();
    pki.server("front-door");
    let flooding = password(&pki, "flooding");
    let calm = ["calm-1", "calm-2", "calm-3", "calm-4"].map(|id| (id, password(&pki, id)));
    let by_grpc = pki.vehicle("by-grpc");
    let site = Site::with_settings(&settings(&pki, "[ingest]\nquota_per_minute = 60\n"));
    let plain = site.service().mqtt();
    let is_over = AtomicBool::new(false);
    let since = Instant::now();
    let mut neighbours: Vec<_> =
        calm.iter().map(|(id, password)| (id, Device::open(plain, &Hello::new(id).knowing(id, password)).unwrap())).collect();
    let mut waits = || {
        let mut waits: Vec<Duration> = Vec::new();
        for number in 0..25 {
            for (id, device) in &mut neighbours {
                let since = Instant::now();
                let heard = device.publish(&topic(id), payload(number).as_bytes());
                assert!(matches!(heard, Heard::Acknowledged { .. }), "{heard:?}");
                waits.push(since.elapsed());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        waits.sort();
        waits
    };
    let before = waits();
    let (during, (taken, disconnects)) = std::thread::scope(|scope| {
        let ends = crate::support::fleet::StopsWhenDropped(&is_over);
        let flood = scope.spawn(|| {
            let (mut taken, mut disconnects) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let hello = Hello::new("flooding").knowing("flooding", &flooding);
                let Ok(mut device) = Device::open(plain, &hello) else { continue };
                while !is_over.load(Ordering::Relaxed) {
                    match device.publish(&topic("flooding"), payload(taken).as_bytes()) {
                        Heard::Acknowledged { .. } => taken += 1,
                        Heard::Disconnected { reason } => {
                            assert_eq!(reason, Some(0x96));
                            disconnects += 1;
                            break;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            (taken, disconnects)
        });
        let during = waits();
        drop(ends);
        (during, flood.join().unwrap())
    });
    let said = |waits: &[Duration]| format!("p50 {:?}, p99 {:?}", waits[49], waits[98]);
    println!("{taken} messages of the flood were taken, {disconnects} disconnects");
    println!("its neighbours: {} before, {} beside the flood", said(&before), said(&during));
    let most = 61 + since.elapsed().as_secs();
    assert!((60..=most).contains(&taken), "{taken} of {most}: a minute's worth at once, then one a second");
    assert_eq!(turned_away(&site, "quota"), disconnects);
    wait_for("what was acknowledged, no more and no less", Duration::from_secs(20), || {
        (site.api().readings("flooding").len() as u64 == taken).then_some(())
    });

    let post = || site.api().post("/api/v1/telemetry/by-http", "application/json", payload(1).as_bytes());
    let over = std::iter::repeat_with(post).take(500).find(|answer| answer.status != 200).expect("500 at once are more than 60");
    assert_eq!((over.status, over.json["code"].as_str()), (429, Some("over_quota")), "{}", over.json);
    assert_eq!(over.retry_after.as_deref(), Some("1"));
    let mut client = telemetry(&site, &by_grpc).await.unwrap();
    let mut codes = vec![Code::Ok];
    while codes.last() == Some(&Code::Ok) && codes.len() < 500 {
        let reading = v1::TelemetryReading {
            vehicle_id: "by-grpc".to_owned(),
            recorded_at: Some(timestamp_to_proto(clock::now())),
            signals: Some(v1::Signals { speed_km_per_h: Some(50.0), ..v1::Signals::default() }),
            ..v1::TelemetryReading::default()
        };
        codes.push(client.ingest_reading(reading).await.map_or_else(|status| status.code(), |_| Code::Ok));
    }
    assert_eq!(codes.last(), Some(&Code::ResourceExhausted), "{codes:?}");
    assert!(codes.len() > 60, "{codes:?}");
}

#[test]
fn the_certificate_folder_keeps_keys_to_its_owner_and_refuses_what_would_overwrite() {
    let pki = Pki::new();
    let folder = pki.path().to_str().unwrap();
    pki.vehicle("truck-7");
    pki.run(&["vehicle"], &["truck-8", "truck-9"]);
    for key in ["authority.key", "truck-7.key", "truck-9.key"] {
        assert_eq!(std::fs::metadata(pki.file(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    let key = std::fs::read_to_string(pki.file("truck-7.key")).unwrap();
    for (arguments, exit, words) in [
        (&["init", folder][..], 5, "has an authority already"),
        (&["vehicle", folder, "truck-7"], 5, "odograph pki renew"),
        (&["vehicle", folder, "truck 7"], 2, "a vehicle id consists of"),
        (&["vehicle", folder, "authority"], 5, "no name for a file"),
        (&["service", folder, "../elsewhere"], 5, "no name for a file"),
        (&["server", folder, "web", "--address", "no host"], 2, "no host name"),
        (&["renew", folder, "truck-1"], 5, "odograph pki list"),
        (&["revoke", folder, "truck-1"], 5, "odograph pki list"),
        (&["list", "/nowhere"], 5, "odograph pki init"),
    ] {
        let output = odograph(&[&["pki"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_to_string(pki.file("truck-7.key")).unwrap(), key);

    pki.renew("truck-7");
    assert_ne!(std::fs::read_to_string(pki.file("truck-7.key")).unwrap(), key);
    std::fs::write(pki.file("revoked.pem"), "# by hand\nvan-1\n").unwrap();
    pki.revoke("truck-7");
    pki.revoke("truck-8");
    assert!(std::fs::read_to_string(pki.file("revoked.pem")).unwrap().starts_with("# by hand\nvan-1\n-----BEGIN X509 CRL-----"));
    let listed = pki.run(&["list"], &[]);
    let listed: Vec<_> = listed["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    // The one before it was renewed is revoked with it.
    let expected =
        [("authority", "valid"), ("truck-7", "revoked"), ("truck-8", "revoked"), ("truck-9", "valid"), ("truck-7", "revoked")];
    assert_eq!(listed, expected);
    // A new one is a new start.
    pki.renew("truck-7");
    assert_eq!(pki.run(&["list"], &[])["certificates"][5]["state"], "valid");
}
