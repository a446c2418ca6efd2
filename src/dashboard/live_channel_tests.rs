//! The live channel as a client sees it: over a socket.

use std::collections::HashMap;
use std::net::TcpStream;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::tests::{Server, a_reading_at, a_server};
use crate::clock;
use crate::domain::{AlertEvent, Change, Condition, Timing, VehicleId};
use crate::wire::alert::tests::a_full_alert_event;
use crate::wire::live::tests::decode;
use crate::wire::proto::v1::live_message::Kind;
use crate::wire::proto::v1::vehicle_state::State;

/// A blocking client: the server runs on other threads.
struct Client(WebSocket<MaybeTlsStream<TcpStream>>);

impl Client {
    fn connect(server: &Server, query: &str) -> Self {
        Self(tungstenite::connect(format!("ws://{}/api/v1/live{query}", server.address)).unwrap().0)
    }

    /// The next message of `?format=binary` that says something.
    fn read_binary(&mut self) -> Kind {
        loop {
            match self.0.read().unwrap() {
                Message::Binary(bytes) => match decode(&bytes) {
                    Kind::Beat(_) => {}
                    said => return said,
                },
                Message::Text(text) => panic!("text in a binary channel: {text}"),
                _ => {}
            }
        }
    }

    /// The next message that says something.
    fn read(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                assert!(text.len() < 500_000, "{} bytes in one message", text.len());
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] != "beat" {
                    return message;
                }
            }
        }
    }

    fn read_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.read();
            if message["type"] == kind {
                return message;
            }
        }
    }

    fn ask(&mut self, question: &Value) {
        self.0.send(Message::Text(question.to_string().into())).unwrap();
    }
}

fn reports(server: &Server, ids: impl Iterator<Item = String>, arrival: u64) {
    let mut all = Vec::new();
    for id in ids {
        let mut newest = a_reading_at(clock::now());
        newest.reading.vehicle_id = VehicleId::new(&id).unwrap();
        (newest.timing, newest.arrival) = (Timing::InOrder, arrival);
        all.push(newest);
    }
    server.live.update(0, &mut all);
}

/// As the watcher does.
fn alert(server: &Server, change: Change, revision: u32, condition: Condition) -> AlertEvent {
    let mut event = a_full_alert_event();
    (event.change, event.alert.revision, event.alert.condition) = (change, revision, condition);
    server.open_alerts.apply(&event);
    server.live.touch(&event.alert.vehicle_id);
    server.alert_feed.publish(event.clone());
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_all_vehicles_and_then_what_changes() {
    let server = a_server().await;
    reports(&server, ["truck-7".to_owned(), "van-1".to_owned()].into_iter(), 1);
    let mut client = Client::connect(&server, "");
    let snapshot = client.read();
    assert_eq!((&snapshot["type"], &snapshot["complete"], &snapshot["sequence"]), (&"snapshot".into(), &true.into(), &1.into()));
    assert_eq!(snapshot["fields"][0], "vehicle_id");
    assert_eq!(snapshot["stale_after_ms"], 300_000);
    let truck = snapshot["vehicles"].as_array().unwrap().iter().find(|row| row[0] == "truck-7").unwrap();
    let expected = json!(["truck-7", 49.0123, 8.4041, 271, 63.2, 0.2, "ok"]);
    assert_eq!(truck.as_array().unwrap()[..7], expected.as_array().unwrap()[..]);
    reports(&server, std::iter::once("van-1".to_owned()), 2);
    let changes = client.read_of("changes");
    assert_eq!((changes["vehicles"].as_array().unwrap().len(), &changes["vehicles"][0][0]), (1, &"van-1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_an_alert_comes_once_and_a_client_goes_on_where_it_left_off() {
    let server = a_server().await;
    let opened = alert(&server, Change::Opened, 0, Condition::Active);
    let mut client = Client::connect(&server, "?channel=alerts");
    let open = client.read();
    assert_eq!((&open["type"], &open["open"], &open["complete"]), (&"alerts".into(), &1.into(), &true.into()));
    assert_eq!(open["alerts"][0]["alert_id"], opened.alert.alert_id.to_string());
    alert(&server, Change::Worsened, 1, Condition::Active);
    let worse = client.read();
    assert_eq!((&worse["type"], &worse["change"], &worse["alert"]["revision"]), (&"alert".into(), &"worsened".into(), &1.into()));
    drop(client);
    alert(&server, Change::Updated, 2, Condition::Active);
    alert(&server, Change::Cleared, 3, Condition::Cleared);
    let mut again = Client::connect(&server, &format!("?channel=alerts&after={}", worse["sequence"]));
    let missed: Vec<_> = [again.read(), again.read()].iter().map(|each| each["change"].clone()).collect();
    assert_eq!(missed, ["updated", "cleared"]);
    // Numbers of another process: what is open says what they led to.
    let mut stranger = Client::connect(&server, "?channel=alerts&after=7");
    assert_eq!(stranger.read(), json!({"type": "alerts", "sequence": 104, "complete": true, "open": 0, "alerts": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_alert_changes_the_state_of_its_vehicle() {
    let server = a_server().await;
    let vehicle_id = a_full_alert_event().alert.vehicle_id.to_string();
    reports(&server, std::iter::once(vehicle_id), 1);
    let mut client = Client::connect(&server, "?channel=vehicles");
    assert_eq!(client.read()["vehicles"][0][6], "ok");
    alert(&server, Change::Opened, 0, Condition::Active);
    assert_eq!(client.read_of("changes")["vehicles"][0][6], "alert");
    alert(&server, Change::Cleared, 1, Condition::Cleared);
    assert_eq!(client.read_of("changes")["vehicles"][0][6], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watched_vehicle_comes_whole() {
    let server = a_server().await;
    reports(&server, std::iter::once("truck-7".to_owned()), 1);
    let mut client = Client::connect(&server, "");
    client.ask(&json!({"type": "watch", "vehicle_id": "truck-7"}));
    assert_eq!(client.read_of("vehicle")["vehicle"]["signals"]["speed_km_per_h"], 63.2);
    reports(&server, std::iter::once("truck-7".to_owned()), 2);
    assert_eq!(client.read_of("vehicle")["vehicle"]["vehicle_id"], "truck-7");
    client.ask(&json!({"type": "watch", "vehicle_id": "no id"}));
    assert_eq!(client.read_of("problem")["problem"]["code"], "bad_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_channel_says_what_the_other_says() {
    let server = a_server().await;
    reports(&server, std::iter::once("truck-7".to_owned()), 1);
    let mut client = Client::connect(&server, "?format=binary");
    let Kind::Snapshot(snapshot) = client.read_binary() else { panic!("first all vehicles") };
    assert_eq!((snapshot.sequence, snapshot.complete, snapshot.stale_after.unwrap().seconds), (1, true, 300));
    let truck = &snapshot.vehicles[0];
    let position = truck.position.as_ref().unwrap();
    assert_eq!((truck.vehicle_id.as_str(), truck.state(), truck.speed_km_per_h), ("truck-7", State::Ok, Some(63.2)));
    assert_eq!((position.latitude, position.longitude, position.heading_deg), (49.0123, 8.4041, Some(271.5)));
    let newest = server.live.vehicle(&VehicleId::new("truck-7").unwrap()).unwrap();
    assert_eq!(truck.received_at.unwrap().seconds, newest.reading.received_at.as_micros() / 1_000_000);
    let Kind::Alerts(open) = client.read_binary() else { panic!("then what is open") };
    assert_eq!((open.open, open.complete, open.alerts.len()), (0, true, 0));
    let event = alert(&server, Change::Opened, 0, Condition::Active);
    let (mut change, mut changes) = (None, None);
    while change.is_none() || changes.is_none() {
        match client.read_binary() {
            Kind::Alert(said) => change = Some(said),
            Kind::Changes(said) => changes = Some(said),
            other => panic!("{other:?}"),
        }
    }
    let (change, changes) = (change.unwrap(), changes.unwrap());
    assert_eq!((change.sequence, change.change.as_str(), changes.vehicles[0].state()), (101, "opened", State::Alert));
    let said = change.alert.unwrap();
    assert_eq!((said.alert_id, said.summary), (event.alert.alert_id.to_string(), event.alert.summary.to_string()));
    assert_eq!((said.explanation[0].contribution, said.condition.as_str()), (0.875, "active"));
    client.ask(&json!({"type": "watch", "vehicle_id": "truck-7"}));
    let Kind::Vehicle(watched) = client.read_binary() else { panic!("the watched vehicle") };
    assert_eq!(watched.reading.unwrap().signals.unwrap().odometer_m, Some(123_456_789.25));
    assert_eq!((watched.open_alerts.len(), watched.state.unwrap().state()), (1, State::Alert));
    client.ask(&json!({"type": "watch", "vehicle_id": "no id"}));
    let Kind::Problem(problem) = client.read_binary() else { panic!("what was wrong") };
    assert_eq!(problem.code, "bad_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_follows_the_vehicles_of_a_box_or_a_list() {
    let server = a_server().await;
    // More than a part, so that whole parts have nothing for the client.
    reports(&server, (0..2_500).map(|number| format!("van-{number}")), 1);
    let ids = |message: &Value| -> Vec<String> {
        message["vehicles"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
    };
    let mut listed = Client::connect(&server, "?channel=vehicles&ids=van-7,van-2400");
    let mut seen = Vec::new();
    loop {
        let part = listed.read();
        seen.extend(ids(&part));
        if part["complete"] == true {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["van-2400", "van-7"]);
    let mut elsewhere = Client::connect(&server, "?channel=vehicles&bbox=0,0,1,1");
    let snapshot = elsewhere.read();
    assert_eq!((ids(&snapshot).len(), &snapshot["type"], &snapshot["complete"]), (0, &"snapshot".into(), &true.into()));
    reports(&server, ["van-1".to_owned(), "van-7".to_owned()].into_iter(), 2);
    assert_eq!(ids(&listed.read_of("changes")), ["van-7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_gets_the_newest_of_each_vehicle_later_and_costs_no_queue() {
    const VEHICLES: usize = 10_000;
    const ROUNDS: u64 = 40;
    let server = a_server().await;
    let ids = || (0..VEHICLES).map(|number| format!("{number:064}"));
    reports(&server, ids(), 1);
    let mut client = Client::connect(&server, "?channel=vehicles");
    // More than every buffer on the way holds, so the server stands in the middle of its snapshot.
    for arrival in 2..=ROUNDS {
        reports(&server, ids(), arrival);
    }
    let newest: HashMap<String, i64> = ids()
        .map(|id| {
            let newest = server.live.vehicle(&VehicleId::new(&id).unwrap()).unwrap();
            (id, newest.reading.recorded_at.as_micros() / 1_000)
        })
        .collect();
    let (mut seen, mut rows) = (HashMap::new(), 0);
    while seen != newest {
        for row in client.read()["vehicles"].as_array().unwrap() {
            seen.insert(row[0].as_str().unwrap().to_owned(), row[7].as_i64().unwrap());
            rows += 1;
        }
    }
    println!("{rows} rows for {VEHICLES} vehicles in {ROUNDS} rounds");
    assert!(rows <= 3 * VEHICLES, "{rows} rows: what is old was kept for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_explained_before_the_socket_opens() {
    let server = a_server().await;
    for (query, status) in [
        ("?after=x", 400),
        ("?channel=cars", 400),
        ("?afer=1", 400),
        ("?format=xml", 400),
        ("?bbox=9,50,8", 400),
        ("?ids=truck%207", 400),
    ] {
        match tungstenite::connect(format!("ws://{}/api/v1/live{query}", server.address)) {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), status, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
}
