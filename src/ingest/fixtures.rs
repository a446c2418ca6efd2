//! For tests of the ways in: lanes that take deliveries, and make them durable when a test says so.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Inlet, Intake, NotPromised};
use crate::clock;
use crate::domain::{Delivery, Outcome, SignalTable};
use crate::settings::{self, ByteSize};

/// Long enough for every answer of a healthy process on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a test looks for something that must not come.
pub const A_WHILE: Duration = Duration::from_millis(150);

/// Full: senders wait.
const INBOX: usize = 16;

pub struct Lanes {
    pub intake: Arc<Intake>,
    pub deliveries: mpsc::Receiver<Delivery>,
}

impl Lanes {
    pub fn open() -> Self {
        let (sender, deliveries) = mpsc::channel(INBOX);
        let waiting = sender.clone();
        let inlet = Inlet::new(
            move |delivery| {
                let sender = waiting.clone();
                async move { sender.send(delivery).await.map_err(|_| NotPromised::Stopped) }
            },
            move |delivery| {
                sender.try_send(delivery).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => NotPromised::Full,
                    mpsc::error::TrySendError::Closed(_) => NotPromised::Stopped,
                })
            },
        );
        let ingest = settings::Ingest { max_payload: ByteSize::from_kib(4), ..settings::Ingest::default() };
        let intake = Arc::new(Intake::new(inlet, Arc::new(SignalTable::default()), &ingest));
        Self { intake, deliveries }
    }

    pub async fn next(&mut self) -> Delivery {
        soon(self.deliveries.recv()).await.expect("a way in is open")
    }
}

pub fn keep(delivery: Delivery) {
    let accepted = u32::try_from(delivery.readings.len()).unwrap();
    delivery.receipt.keep(Outcome { accepted, duplicates: 0 });
}

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("in time")
}

pub fn a_reading(sequence: u64) -> String {
    format!(r#"{{"recorded_at":"{}","sequence":{sequence},"signals":{{"speed_km_per_h":63.2}}}}"#, clock::now())
}
