//! What was acknowledged and not believed, with its reason.

use super::Timestamp;
use super::codes::codes;

/// Of each quarantined message this much is kept.
pub const MAX_KEPT_PAYLOAD_BYTES: usize = 64 * 1024;

/// A message, or one reading of it, that was refused. Acknowledged all the same: the sender would repeat it for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub received_at: Timestamp,
    pub source: Source,
    /// As the sender gave it; may be no valid id. At most 256 bytes are kept.
    pub vehicle_id: Box<str>,
    pub reason: Reason,
    /// What exactly, and where in the message.
    pub detail: Box<str>,
    /// The first [`MAX_KEPT_PAYLOAD_BYTES`] of what came; for one element of an array, the whole message.
    pub payload: bytes::Bytes,
    /// Length of all that came.
    pub payload_bytes: u64,
    /// Which element of the message; 0 for a message that is one reading or could not be split.
    pub index: u32,
}

/// The ways in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    Mqtt,
    Broker,
    Http,
    WebSocket,
    Grpc,
    /// None of them: what was accepted before, and could not be archived.
    Journal,
}

/// Stable codes: operators filter by them and metrics count by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    EmptyPayload,
    PayloadTooLarge,
    JsonSyntax,
    ProtobufSyntax,
    WrongType,
    DuplicateKey,
    UnknownField,
    VehicleIdInvalid,
    VehicleIdMismatch,
    TopicUnknown,
    RecordedAtMissing,
    RecordedAtInvalid,
    RecordedAtInSeconds,
    TooFarInFuture,
    TooOld,
    PositionInvalid,
    NothingMeasured,
    TooManyDtcs,
    EmptyBatch,
    VehicleNotAllowed,
    KilledTheProcess,
    /// Accepted, and refused by the archive for ever.
    ArchiveRefused,
}

codes!(Source { Mqtt = "mqtt", Broker = "broker", Http = "http", WebSocket = "websocket", Grpc = "grpc", Journal = "journal" });

codes!(Reason {
    EmptyPayload = "empty_payload",
    PayloadTooLarge = "payload_too_large",
    JsonSyntax = "json_syntax",
    ProtobufSyntax = "protobuf_syntax",
    WrongType = "wrong_type",
    DuplicateKey = "duplicate_key",
    UnknownField = "unknown_field",
    VehicleIdInvalid = "vehicle_id_invalid",
    VehicleIdMismatch = "vehicle_id_mismatch",
    TopicUnknown = "topic_unknown",
    RecordedAtMissing = "recorded_at_missing",
    RecordedAtInvalid = "recorded_at_invalid",
    RecordedAtInSeconds = "recorded_at_in_seconds",
    TooFarInFuture = "too_far_in_future",
    TooOld = "too_old",
    PositionInvalid = "position_invalid",
    NothingMeasured = "nothing_measured",
    TooManyDtcs = "too_many_dtcs",
    EmptyBatch = "empty_batch",
    VehicleNotAllowed = "vehicle_not_allowed",
    KilledTheProcess = "killed_the_process",
    ArchiveRefused = "archive_refused",
});
