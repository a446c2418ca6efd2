//! The archive over gRPC: [`RemoteArchive`] asks from another process, [`service`] answers over the archive of this one. Knows no archive by
//! name; how anybody gets to the other process is not decided here.
//!
//! Nothing is compressed: the processes of a deployment are near each other, and the cores have other things to do.

mod client;
mod forms;
mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;

pub use self::client::RemoteArchive;
pub use self::server::{ArchiveLinkService, service};

/// Of one message: a part, and the one record with which it grew beyond [`PART_BYTES`].
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Records of an answer are sent in parts that are over with this many bytes.
const PART_BYTES: usize = 512 << 10;
/// Of one page, and of the ids of one question.
const MOST_RECORDS: u32 = 10_000;
/// Of a model file or a configuration.
const MAX_CONTENT_BYTES: usize = 128 << 20;
/// A little more than PostgreSQL is given for an answer: what it says then is worth more than that nothing was said.
const QUESTION_WITHIN: Duration = Duration::from_secs(35);
/// 128 MiB, or the records of a million vehicles.
const TRANSFER_WITHIN: Duration = Duration::from_mins(3);

/// Messages with all of `records`, each begun anew once it has [`PART_BYTES`]. `add` says how many bytes it added.
fn parts<M: Default, R>(
    records: impl IntoIterator<Item = R>,
    mut add: impl FnMut(R, &mut M) -> usize,
) -> impl Iterator<Item = M> {
    let mut records = records.into_iter().peekable();
    std::iter::from_fn(move || {
        records.peek()?;
        let (mut part, mut bytes) = (M::default(), 0);
        while bytes < PART_BYTES
            && let Some(record) = records.next()
        {
            bytes += add(record, &mut part);
        }
        Some(part)
    })
}

fn content_parts(content: Bytes) -> impl Iterator<Item = Bytes> {
    let starts = (0..content.len()).step_by(PART_BYTES);
    starts.map(move |start| content.slice(start..content.len().min(start + PART_BYTES)))
}

/// For [`parts`]: adds a message to a list of them.
fn push<T: Message>(record: T, list: &mut Vec<T>) -> usize {
    let bytes = record.encoded_len();
    list.push(record);
    bytes
}
