//! The archive of another process, as it is asked. What goes there and comes from there as a whole: `transfers`.

mod transfers;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::forms::{self, Unfit};
use super::{MAX_MESSAGE_BYTES, MOST_RECORDS, QUESTION_WITHIN};
use crate::domain::{Alert, AlertId, Assessment, Reason, SignalTable, Timestamp, VehicleId};
use crate::storage::{
    AlertArchive, AlertHistory, AlertsPage, AlertsQuery, Archive, ArchiveError, BucketsPage, BucketsQuery, ExportedPayload,
    QuarantineArchive, QuarantineCursor, QuarantinePage, QuarantineQuery, QuarantinedMessage, ReadingArchive, ReadingsPage,
    ReadingsQuery,
};
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::archive_link_client::ArchiveLinkClient;

/// So long nobody tries to reach a process that somebody did not reach: else all who wait would try one after another.
const AFTER_A_FAILURE: Duration = Duration::from_millis(500);

/// Connects when it is first asked, and again whenever that is needed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteArchive {
    client: ArchiveLinkClient<Channel>,
    table: Arc<SignalTable>,
    last_failure: Arc<Mutex<Option<Instant>>>,
}

/// Why a call did not succeed.
enum Failed {
    Status(Status),
    Answer(Unfit),
}

type Client = ArchiveLinkClient<Channel>;

impl RemoteArchive {
    /// `channel`: with keep-alive, so that a peer that is gone without a word is noticed; `table`: the signals that this process knows.
    #[must_use]
    pub fn new(channel: Channel, table: Arc<SignalTable>) -> Self {
        let client = ArchiveLinkClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self { client, table, last_failure: Arc::default() }
    }

    /// Every call has an end; `action` says which it was.
    async fn ask<T>(
        &self,
        action: &'static str,
        within: Duration,
        call: impl AsyncFnOnce(Client) -> Result<T, Failed>,
    ) -> Result<T, ArchiveError> {
        let just_tried = self.last_failure().is_some_and(|failed| failed.elapsed() < AFTER_A_FAILURE);
        if just_tried {
            return Err(ArchiveError::JustTried);
        }
        match tokio::time::timeout(within, call(self.client.clone())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failed::Answer(unfit))) => Err(unfit.into()),
            Ok(Err(Failed::Status(status))) => {
                if forms::is_of_the_way(&status) {
                    self.has_failed();
                }
                Err(forms::error(&status))
            }
            Err(_elapsed) => {
                self.has_failed();
                Err(ArchiveError::Silent { action, after: within })
            }
        }
    }

    fn last_failure(&self) -> Option<Instant> {
        *self.last_failure.lock().expect("no holder panics")
    }

    fn has_failed(&self) {
        *self.last_failure.lock().expect("no holder panics") = Some(Instant::now());
    }
}

#[async_trait]
impl Archive for RemoteArchive {
    async fn answers(&self) -> Result<(), ArchiveError> {
        self.ask("answer", QUESTION_WITHIN, async |mut client| {
            client.answers(within(QUESTION_WITHIN, link::AnswersRequest {})).await?;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl ReadingArchive for RemoteArchive {
    async fn readings(&self, query: &ReadingsQuery) -> Result<Option<ReadingsPage>, ArchiveError> {
        self.ask("find readings", QUESTION_WITHIN, async |mut client| {
            let answer = client.readings(within(QUESTION_WITHIN, forms::readings_request(query))).await?;
            let (head, readings) = self.readings_of(answer).await?;
            let next = forms::maybe_parsed("next", &head.next)?;
            Ok((!head.vehicle_is_unknown).then_some(ReadingsPage { readings, next }))
        })
        .await
    }

    async fn buckets(&self, query: &BucketsQuery) -> Result<Option<BucketsPage>, ArchiveError> {
        self.ask("sum up readings", QUESTION_WITHIN, async |mut client| {
            let mut answer = client.buckets(within(QUESTION_WITHIN, forms::buckets_request(query))).await?.into_inner();
            let head = first(&mut answer).await?;
            let mut buckets = Vec::new();
            while let Some(part) = answer.message().await? {
                for bucket in &part.buckets {
                    buckets.push(forms::bucket_from_proto(bucket, &head.signals, &self.table)?);
                }
            }
            let next = forms::maybe_parsed("next", &head.next)?;
            Ok((!head.vehicle_is_unknown).then_some(BucketsPage { buckets, next }))
        })
        .await
    }

    async fn newest_readings(&self, vehicle_ids: &[VehicleId]) -> Result<Vec<Assessment>, ArchiveError> {
        let mut readings = Vec::with_capacity(vehicle_ids.len());
        for ids in vehicle_ids.chunks(MOST_RECORDS as usize) {
            let asked = link::NewestReadingsRequest { vehicle_ids: ids.iter().map(VehicleId::to_string).collect() };
            let newest = self.ask("find the newest readings", QUESTION_WITHIN, async |mut client| {
                let answer = client.newest_readings(within(QUESTION_WITHIN, asked)).await?;
                Ok(self.readings_of(answer).await?.1)
            });
            readings.extend(newest.await?);
        }
        if vehicle_ids.len() > MOST_RECORDS as usize {
            readings.sort_by(|one, other| one.reading.vehicle_id.cmp(&other.reading.vehicle_id));
        }
        Ok(readings)
    }

    async fn vehicle_ids(&self, after: Option<&VehicleId>, limit: u32) -> Result<Vec<VehicleId>, ArchiveError> {
        self.ask("list vehicles", QUESTION_WITHIN, async |mut client| {
            let asked = link::VehicleIdsRequest { after: forms::text_of(after), limit };
            let answer = client.vehicle_ids(within(QUESTION_WITHIN, asked)).await?.into_inner();
            Ok(answer.vehicle_ids.iter().map(|id| forms::vehicle_id(id)).collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn count_vehicles(&self) -> Result<u64, ArchiveError> {
        self.ask("count vehicles", QUESTION_WITHIN, async |mut client| {
            Ok(client.count_vehicles(within(QUESTION_WITHIN, link::CountVehiclesRequest {})).await?.into_inner().vehicles)
        })
        .await
    }
}

impl RemoteArchive {
    async fn readings_of(
        &self,
        answer: Response<Streaming<link::ReadingsResponse>>,
    ) -> Result<(link::ReadingsResponse, Vec<Assessment>), Failed> {
        let mut answer = answer.into_inner();
        let head = first(&mut answer).await?;
        let mut readings = Vec::new();
        while let Some(part) = answer.message().await? {
            for state in &part.readings {
                readings.push(forms::reading(state, &self.table)?);
            }
        }
        Ok((head, readings))
    }
}

#[async_trait]
impl AlertArchive for RemoteArchive {
    async fn alerts(&self, query: &AlertsQuery) -> Result<AlertsPage, ArchiveError> {
        self.ask("list alerts", QUESTION_WITHIN, async |mut client| {
            let answer = client.list_archived_alerts(within(QUESTION_WITHIN, forms::alerts_request(query))).await?;
            let (head, alerts) = alerts_of(answer).await?;
            Ok(AlertsPage { alerts, next: forms::maybe_parsed("next", &head.next)? })
        })
        .await
    }

    async fn alert(&self, id: AlertId) -> Result<Option<Alert>, ArchiveError> {
        self.ask("read an alert", QUESTION_WITHIN, async |mut client| {
            let asked = link::GetArchivedAlertRequest { alert_id: id.number() };
            Ok(alerts_of(client.get_archived_alert(within(QUESTION_WITHIN, asked)).await?).await?.1.pop())
        })
        .await
    }

    async fn alert_history(&self, id: AlertId) -> Result<Vec<AlertHistory>, ArchiveError> {
        self.ask("read an alert's history", QUESTION_WITHIN, async |mut client| {
            let asked = link::AlertHistoryRequest { alert_id: id.number() };
            let mut answer = client.alert_history(within(QUESTION_WITHIN, asked)).await?.into_inner();
            let mut history = Vec::new();
            while let Some(part) = answer.message().await? {
                for change in part.changes {
                    history.push(forms::change(change)?);
                }
            }
            Ok(history)
        })
        .await
    }
}

#[async_trait]
impl QuarantineArchive for RemoteArchive {
    async fn quarantine(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        self.ask("list refused messages", QUESTION_WITHIN, async |mut client| {
            messages_of(client.quarantine(within(QUESTION_WITHIN, forms::quarantine_request(query))).await?).await
        })
        .await
    }

    async fn replayable(&self, query: &QuarantineQuery) -> Result<QuarantinePage, ArchiveError> {
        self.ask("list refused messages", QUESTION_WITHIN, async |mut client| {
            messages_of(client.replayable(within(QUESTION_WITHIN, forms::quarantine_request(query))).await?).await
        })
        .await
    }

    async fn quarantined_messages(&self, ids: &[i64]) -> Result<Vec<QuarantinedMessage>, ArchiveError> {
        self.ask("read refused messages", QUESTION_WITHIN, async |mut client| {
            let asked = link::QuarantinedMessagesRequest { ids: ids.to_vec() };
            Ok(messages_of(client.quarantined_messages(within(QUESTION_WITHIN, asked)).await?).await?.messages)
        })
        .await
    }

    async fn count_not_whole(&self, reason: Reason) -> Result<u64, ArchiveError> {
        self.ask("count refused messages", QUESTION_WITHIN, async |mut client| {
            let asked = link::CountNotWholeRequest { reason: reason.code().to_owned() };
            Ok(client.count_not_whole(within(QUESTION_WITHIN, asked)).await?.into_inner().messages)
        })
        .await
    }

    async fn mark_replayed(&self, ids: &[i64], at: Timestamp) -> Result<(), ArchiveError> {
        self.ask("mark refused messages", QUESTION_WITHIN, async |mut client| {
            let asked = link::MarkReplayedRequest { ids: ids.to_vec(), at_us: at.as_micros() };
            client.mark_replayed(within(QUESTION_WITHIN, asked)).await?;
            Ok(())
        })
        .await
    }

    async fn quarantine_counts(&self) -> Result<Vec<(String, u64)>, ArchiveError> {
        self.ask("count refused messages", QUESTION_WITHIN, async |mut client| {
            let asked = link::QuarantineCountsRequest {};
            let counts = client.quarantine_counts(within(QUESTION_WITHIN, asked)).await?.into_inner().counts;
            Ok(counts.into_iter().map(|count| (count.reason, count.messages)).collect())
        })
        .await
    }

    async fn quarantined_payload(&self, id: i64) -> Result<Option<ExportedPayload>, ArchiveError> {
        self.ask("read a refused message", QUESTION_WITHIN, async |mut client| {
            let asked = link::QuarantinedPayloadRequest { id };
            let answer = client.quarantined_payload(within(QUESTION_WITHIN, asked)).await?.into_inner();
            let is_whole = answer.is_whole;
            Ok(answer.payload.map(|payload| ExportedPayload { payload: payload.into(), is_whole }))
        })
        .await
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Unfit> for Failed {
    fn from(unfit: Unfit) -> Self {
        Self::Answer(unfit)
    }
}

/// The other process, too, gives up then.
fn within<T>(within: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

/// What is said of all records of an answer.
async fn first<T>(answer: &mut Streaming<T>) -> Result<T, Failed> {
    let first = answer.message().await?;
    first.ok_or_else(|| forms::unfit("answer")("is empty").into())
}

async fn alerts_of(
    answer: Response<Streaming<link::ArchivedAlertsResponse>>,
) -> Result<(link::ArchivedAlertsResponse, Vec<Alert>), Failed> {
    let mut answer = answer.into_inner();
    let head = first(&mut answer).await?;
    let mut alerts = Vec::new();
    while let Some(part) = answer.message().await? {
        for record in &part.alerts {
            alerts.push(forms::alert(record)?);
        }
    }
    Ok((head, alerts))
}

async fn messages_of(answer: Response<Streaming<link::QuarantineResponse>>) -> Result<QuarantinePage, Failed> {
    let mut answer = answer.into_inner();
    let head = first(&mut answer).await?;
    let mut messages = Vec::new();
    while let Some(part) = answer.message().await? {
        for each in &part.messages {
            messages.push(forms::message(each)?);
        }
    }
    Ok(QuarantinePage { messages, next: head.next.map(QuarantineCursor) })
}
