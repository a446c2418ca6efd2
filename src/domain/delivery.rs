//! What travels from a task to a lane: the readings of one message, and the promise to answer for them.

use tokio::sync::oneshot;

use super::{Quarantined, Reading, Slot};

/// One message of one vehicle. Everything in it has one slot, so it meets one lane as a whole.
#[derive(Debug)]
pub struct Delivery {
    pub slot: Slot,
    /// In the order of the message.
    pub readings: Vec<Reading>,
    pub quarantined: Vec<Quarantined>,
    pub receipt: Receipt,
}

/// The promise to acknowledge a message, kept once all that came of it is durable.
///
/// Dropped without [`Receipt::keep`], the sender hears that nothing was promised, and must not acknowledge.
#[derive(Debug)]
pub struct Receipt(oneshot::Sender<Outcome>);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    pub accepted: u32,
    pub duplicates: u32,
}

impl Receipt {
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Only for whoever knows that the records are on disk: the journal, or the way to the process that has it.
    pub fn keep(self, outcome: Outcome) {
        // A sender that has gone away will send again, and meet its duplicate.
        let _gone = self.0.send(outcome);
    }
}
