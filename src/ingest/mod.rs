//! The ways in: front door, subscriber, uplinks. Each hands its messages to one [`Intake`] and answers only what that has promised.

mod backoff;
mod broker_address;
mod broker_connection;
pub mod broker_inspection;
mod counts;
#[cfg(test)]
mod fixtures;
pub mod front_door;
mod front_door_connection;
mod front_door_identity;
mod front_door_mqtt;
#[cfg(test)]
mod front_door_tests;
pub mod intake;
pub mod passwords;
pub mod quarantine_replay;
mod quota;
mod refusals;
mod shared_socket;
pub mod subscriber;
#[cfg(test)]
mod subscriber_tests;
mod topic_filter;
pub mod uplink;
mod uplink_socket;
#[cfg(test)]
mod uplink_tests;

pub use backoff::Backoff;
pub use front_door::FrontDoor;
pub use intake::{Answer, Inlet, Intake, Message, NotPromised};
