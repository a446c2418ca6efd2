//! Refused messages: kept once, counted for ever, replayed once.

use super::Site;
use super::fixtures::{MIDNIGHT, a_refused_message};
use crate::domain::{Reason, Source, Timestamp};
use crate::storage::{QuarantineQuery, Stored};
use crate::wire::record::Record;

pub(crate) async fn refused_messages_are_kept_once_counted_exactly_and_exported_whole<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let batch = [a_refused_message(5, b"{\"a\":"), a_refused_message(6, b"\xff\x00")];
    assert_eq!(archive.store(&batch).await.unwrap(), Stored { readings: 0, quarantined: 2, alert_events: 0, duplicates: 0 });
    archive.close().await;
    let archive = site.open().await;
    assert_eq!(archive.store(&batch).await.unwrap().duplicates, 2, "the journal brings them again");
    assert_eq!(archive.quarantine_counts().await.unwrap(), [("json_syntax".to_owned(), 2)]);
    let query = QuarantineQuery { limit: 1, ..QuarantineQuery::default() };
    let newest = archive.quarantine(&query).await.unwrap();
    let Record::Quarantined(written) = &batch[1].record else { panic!("it is a refused message") };
    assert_eq!(newest.messages[0].message, **written);
    let older = archive.quarantine(&QuarantineQuery { after: newest.next, ..query }).await.unwrap();
    assert_eq!((older.messages.len(), older.next), (1, None));
    let payload = archive.quarantined_payload(older.messages[0].id).await.unwrap().unwrap();
    assert_eq!((payload.payload.as_slice(), payload.is_whole), (b"{\"a\":".as_slice(), true));
    let other = QuarantineQuery { reason: Some(Reason::TooOld), after: None, limit: 9 };
    assert!(archive.quarantine(&other).await.unwrap().messages.is_empty());
}

pub(crate) async fn refused_messages_are_forgotten_too_and_stay_counted<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    archive.store(&[a_refused_message(5, b"{")]).await.unwrap();
    archive.forget_quarantined(Timestamp::from_micros(MIDNIGHT)).await.unwrap();
    let query = QuarantineQuery { limit: 9, ..QuarantineQuery::default() };
    assert_eq!(archive.quarantine(&query).await.unwrap().messages.len(), 1);
    archive.forget_quarantined(Timestamp::from_micros(MIDNIGHT + 1)).await.unwrap();
    assert_eq!(archive.quarantine(&query).await.unwrap().messages, []);
    assert_eq!(archive.quarantine_counts().await.unwrap(), [("json_syntax".to_owned(), 1)]);
}

pub(crate) async fn what_was_kept_whole_is_replayed_once_oldest_first<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let mut cut = a_refused_message(2, b"{");
    let mut lost = a_refused_message(3, b"{");
    for (record, change) in [(&mut cut, true), (&mut lost, false)] {
        let Record::Quarantined(message) = &mut record.record else { panic!("it is a refused message") };
        if change {
            message.payload_bytes = 100_000;
        } else {
            message.source = Source::Journal;
        }
    }
    archive.store(&[a_refused_message(1, b"first"), cut, lost, a_refused_message(4, b"second")]).await.unwrap();
    let query = QuarantineQuery { reason: Some(Reason::JsonSyntax), after: None, limit: 1 };
    let first = archive.replayable(&query).await.unwrap();
    let second = archive.replayable(&QuarantineQuery { after: first.next, ..query.clone() }).await.unwrap();
    let payloads = [&first, &second].map(|page| page.messages[0].message.payload.clone());
    assert_eq!(payloads, [b"first".as_slice(), b"second"]);
    archive.mark_replayed(&[first.messages[0].id], Timestamp::from_micros(MIDNIGHT)).await.unwrap();
    let left = archive.replayable(&QuarantineQuery { reason: None, after: None, limit: 9 }).await.unwrap();
    assert_eq!(left.messages, second.messages);
    let listed = archive.quarantine(&QuarantineQuery { reason: None, after: None, limit: 9 }).await.unwrap().messages;
    assert_eq!(listed.last().unwrap().replayed_at, Some(Timestamp::from_micros(MIDNIGHT)));
}
