//! The ways in: front door, subscriber, uplinks. Each hands its messages to one [`Intake`] and answers only what that has promised.

mod counts;
pub mod front_door;
mod front_door_mqtt;
#[cfg(test)]
mod front_door_tests;
pub mod intake;

pub use front_door::FrontDoor;
pub use intake::{Answer, Inlet, Intake, Message, NotPromised};
