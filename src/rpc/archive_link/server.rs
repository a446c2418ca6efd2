//! Answers what other processes ask of the archive of this one.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use prost::bytes::{Bytes, BytesMut};
use tonic::{Request, Response, Status, Streaming};

use super::{MAX_CONTENT_BYTES, MAX_MESSAGE_BYTES, MOST_RECORDS, content_parts, forms, parts, push};
use crate::domain::{AlertId, Reason, SignalTable, Timestamp, VehicleId};
use crate::storage::{ArchiveError, MAX_REGISTERED, QuarantineCursor, QuarantinePage, SharedArchive, StoredConfiguration};
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::archive_link_server::{ArchiveLink, ArchiveLinkServer};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct ArchiveLinkService {
    archive: SharedArchive,
    table: Arc<SignalTable>,
}

/// To be served beside other services. `table`: of the archive.
#[must_use]
pub fn service(archive: SharedArchive, table: Arc<SignalTable>) -> ArchiveLinkServer<ArchiveLinkService> {
    ArchiveLinkServer::new(ArchiveLinkService { archive, table })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

type Parts<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;
type Answer<M> = Result<Response<M>, Status>;

#[tonic::async_trait]
impl ArchiveLink for ArchiveLinkService {
    type ReadingsStream = Parts<link::ReadingsResponse>;

    async fn readings(&self, request: Request<link::ReadingsRequest>) -> Answer<Self::ReadingsStream> {
        let page = self.archive.readings(&forms::readings_query(request.get_ref())?).await.map_err(told)?;
        let Some(page) = page else {
            return Ok(answer(link::ReadingsResponse { vehicle_is_unknown: true, ..Default::default() }, []));
        };
        let first = link::ReadingsResponse { next: forms::text_of(page.next.as_ref()), ..Default::default() };
        Ok(answer(first, parts(page.readings, forms::reading_encoder(&self.table))))
    }

    type BucketsStream = Parts<link::BucketsResponse>;

    async fn buckets(&self, request: Request<link::BucketsRequest>) -> Answer<Self::BucketsStream> {
        let page = self.archive.buckets(&forms::buckets_query(request.get_ref())?).await.map_err(told)?;
        let Some(page) = page else {
            return Ok(answer(link::BucketsResponse { vehicle_is_unknown: true, ..Default::default() }, []));
        };
        let first = link::BucketsResponse {
            next: forms::text_of(page.next.as_ref()),
            signals: self.table.iter().map(|(_, signal)| signal.name.to_owned()).collect(),
            ..Default::default()
        };
        let add = |bucket, part: &mut link::BucketsResponse| push(forms::bucket_to_proto(&bucket), &mut part.buckets);
        Ok(answer(first, parts(page.buckets, add)))
    }

    type NewestReadingsStream = Parts<link::ReadingsResponse>;

    async fn newest_readings(&self, request: Request<link::NewestReadingsRequest>) -> Answer<Self::NewestReadingsStream> {
        let ids = &bounded("vehicle_ids", request.get_ref().vehicle_ids.as_slice())?;
        let ids: Vec<VehicleId> = ids.iter().map(|id| forms::vehicle_id(id)).collect::<Result<_, _>>()?;
        let readings = self.archive.newest_readings(&ids).await.map_err(told)?;
        Ok(answer(link::ReadingsResponse::default(), parts(readings, forms::reading_encoder(&self.table))))
    }

    async fn vehicle_ids(&self, request: Request<link::VehicleIdsRequest>) -> Answer<link::VehicleIdsResponse> {
        let asked = request.get_ref();
        let after = if asked.after.is_empty() { None } else { Some(forms::vehicle_id(&asked.after)?) };
        let ids = self.archive.vehicle_ids(after.as_ref(), asked.limit.min(MOST_RECORDS)).await.map_err(told)?;
        let vehicle_ids = ids.iter().map(VehicleId::to_string).collect();
        Ok(Response::new(link::VehicleIdsResponse { vehicle_ids }))
    }

    async fn count_vehicles(&self, _: Request<link::CountVehiclesRequest>) -> Answer<link::CountVehiclesResponse> {
        let vehicles = self.archive.count_vehicles().await.map_err(told)?;
        Ok(Response::new(link::CountVehiclesResponse { vehicles }))
    }

    type ListArchivedAlertsStream = Parts<link::ArchivedAlertsResponse>;

    async fn list_archived_alerts(
        &self,
        request: Request<link::ListArchivedAlertsRequest>,
    ) -> Answer<Self::ListArchivedAlertsStream> {
        let page = self.archive.alerts(&forms::alerts_query(request.get_ref())?).await.map_err(told)?;
        let first = link::ArchivedAlertsResponse { next: forms::text_of(page.next.as_ref()), ..Default::default() };
        Ok(answer(first, parts(page.alerts, forms::alert_to_proto)))
    }

    type GetArchivedAlertStream = Parts<link::ArchivedAlertsResponse>;

    async fn get_archived_alert(&self, request: Request<link::GetArchivedAlertRequest>) -> Answer<Self::GetArchivedAlertStream> {
        let alert = self.archive.alert(AlertId::from_number(request.get_ref().alert_id)).await.map_err(told)?;
        Ok(answer(link::ArchivedAlertsResponse::default(), parts(alert, forms::alert_to_proto)))
    }

    type AlertHistoryStream = Parts<link::AlertHistoryResponse>;

    async fn alert_history(&self, request: Request<link::AlertHistoryRequest>) -> Answer<Self::AlertHistoryStream> {
        let history = self.archive.alert_history(AlertId::from_number(request.get_ref().alert_id)).await.map_err(told)?;
        let add = |change, part: &mut link::AlertHistoryResponse| push(forms::change_to_proto(change), &mut part.changes);
        Ok(answer(link::AlertHistoryResponse::default(), parts(history, add)))
    }

    type QuarantineStream = Parts<link::QuarantineResponse>;

    async fn quarantine(&self, request: Request<link::QuarantineRequest>) -> Answer<Self::QuarantineStream> {
        Ok(messages(self.archive.quarantine(&forms::quarantine_query(request.get_ref())?).await.map_err(told)?))
    }

    type ReplayableStream = Parts<link::QuarantineResponse>;

    async fn replayable(&self, request: Request<link::QuarantineRequest>) -> Answer<Self::ReplayableStream> {
        Ok(messages(self.archive.replayable(&forms::quarantine_query(request.get_ref())?).await.map_err(told)?))
    }

    type QuarantinedMessagesStream = Parts<link::QuarantineResponse>;

    async fn quarantined_messages(
        &self,
        request: Request<link::QuarantinedMessagesRequest>,
    ) -> Answer<Self::QuarantinedMessagesStream> {
        let found = self.archive.quarantined_messages(bounded("ids", &request.get_ref().ids)?).await.map_err(told)?;
        Ok(messages(QuarantinePage { messages: found, next: None }))
    }

    async fn count_not_whole(&self, request: Request<link::CountNotWholeRequest>) -> Answer<link::CountNotWholeResponse> {
        let reason = forms::code("reason", &request.get_ref().reason, Reason::from_code)?;
        let messages = self.archive.count_not_whole(reason).await.map_err(told)?;
        Ok(Response::new(link::CountNotWholeResponse { messages }))
    }

    async fn mark_replayed(&self, request: Request<link::MarkReplayedRequest>) -> Answer<link::MarkReplayedResponse> {
        let asked = request.get_ref();
        let at = Timestamp::from_micros(asked.at_us);
        self.archive.mark_replayed(bounded("ids", &asked.ids)?, at).await.map_err(told)?;
        Ok(Response::new(link::MarkReplayedResponse {}))
    }

    async fn quarantine_counts(&self, _: Request<link::QuarantineCountsRequest>) -> Answer<link::QuarantineCountsResponse> {
        let counts = self.archive.quarantine_counts().await.map_err(told)?;
        let counts = counts.into_iter().map(|(reason, messages)| link::ReasonCount { reason, messages });
        Ok(Response::new(link::QuarantineCountsResponse { counts: counts.collect() }))
    }

    async fn quarantined_payload(
        &self,
        request: Request<link::QuarantinedPayloadRequest>,
    ) -> Answer<link::QuarantinedPayloadResponse> {
        let found = self.archive.quarantined_payload(request.get_ref().id).await.map_err(told)?;
        let is_whole = found.as_ref().is_some_and(|payload| payload.is_whole);
        let payload = found.map(|payload| Bytes::from(payload.payload));
        Ok(Response::new(link::QuarantinedPayloadResponse { payload, is_whole }))
    }

    async fn put_configuration(
        &self,
        request: Request<Streaming<link::PutConfigurationRequest>>,
    ) -> Answer<link::PutConfigurationResponse> {
        let mut sent = request.into_inner();
        let (mut at, mut content) = (None, BytesMut::new());
        while let Some(part) = sent.message().await? {
            at.get_or_insert(Timestamp::from_micros(part.at_us));
            take_content(&mut content, &part.content)?;
        }
        let content = std::str::from_utf8(&content).map_err(forms::unfit("content"))?;
        let at = at.ok_or_else(|| Status::invalid_argument("at_us: there is no message"))?;
        let revision = self.archive.put_configuration(content, at).await.map_err(told)?;
        Ok(Response::new(link::PutConfigurationResponse { revision }))
    }

    type GetConfigurationStream = Parts<link::GetConfigurationResponse>;

    async fn get_configuration(&self, request: Request<link::GetConfigurationRequest>) -> Answer<Self::GetConfigurationStream> {
        let found = match request.get_ref().revision {
            Some(revision) => self.archive.configuration(revision).await,
            None => self.archive.newest_configuration().await,
        };
        let Some(StoredConfiguration { revision, created_at, content }) = found.map_err(told)? else {
            return Ok(answer(link::GetConfigurationResponse::default(), []));
        };
        let first = link::GetConfigurationResponse {
            revision: Some(revision),
            created_at_us: created_at.as_micros(),
            content: Bytes::new(),
        };
        let part = |content| link::GetConfigurationResponse { content, ..Default::default() };
        Ok(answer(first, content_parts(content.into()).map(part)))
    }

    async fn put_model_file(&self, request: Request<Streaming<link::PutModelFileRequest>>) -> Answer<link::PutModelFileResponse> {
        let mut sent = request.into_inner();
        let (mut sha256, mut content) = (None, BytesMut::new());
        while let Some(part) = sent.message().await? {
            sha256.get_or_insert(part.sha256);
            take_content(&mut content, &part.content)?;
        }
        let sha256 = sha256.ok_or_else(|| Status::invalid_argument("sha256: there is no message"))?;
        self.archive.put_model_file(&sha256, &content).await.map_err(told)?;
        Ok(Response::new(link::PutModelFileResponse {}))
    }

    type GetModelFileStream = Parts<link::GetModelFileResponse>;

    async fn get_model_file(&self, request: Request<link::GetModelFileRequest>) -> Answer<Self::GetModelFileStream> {
        let found = self.archive.model_file(&request.get_ref().sha256).await.map_err(told)?;
        let first = link::GetModelFileResponse { is_there: found.is_some(), content: Bytes::new() };
        let part = |content| link::GetModelFileResponse { is_there: false, content };
        Ok(answer(first, content_parts(found.unwrap_or_default().into()).map(part)))
    }

    async fn put_vehicles(&self, request: Request<Streaming<link::PutVehiclesRequest>>) -> Answer<link::PutVehiclesResponse> {
        let mut sent = request.into_inner();
        let (mut at, mut records) = (None, Vec::new());
        while let Some(part) = sent.message().await? {
            at.get_or_insert(Timestamp::from_micros(part.at_us));
            if records.len() + part.vehicles.len() > MAX_REGISTERED {
                return Err(Status::invalid_argument(format!("vehicles: more than {MAX_REGISTERED}")));
            }
            for vehicle in part.vehicles {
                records.push(forms::vehicle(vehicle)?);
            }
        }
        let at = at.ok_or_else(|| Status::invalid_argument("at_us: there is no message"))?;
        self.archive.put_vehicles(&records, at).await.map_err(told)?;
        Ok(Response::new(link::PutVehiclesResponse {}))
    }

    type RegisteredVehiclesStream = Parts<link::RegisteredVehiclesResponse>;

    async fn registered_vehicles(&self, _: Request<link::RegisteredVehiclesRequest>) -> Answer<Self::RegisteredVehiclesStream> {
        let records = self.archive.registered_vehicles().await.map_err(told)?;
        let add = |record, part: &mut link::RegisteredVehiclesResponse| push(forms::vehicle_to_proto(record), &mut part.vehicles);
        Ok(answer(link::RegisteredVehiclesResponse::default(), parts(records, add)))
    }

    async fn register_generation(&self, _: Request<link::RegisterGenerationRequest>) -> Answer<link::RegisterGenerationResponse> {
        let generation = self.archive.register_generation().await.map_err(told)?;
        Ok(Response::new(link::RegisterGenerationResponse { generation }))
    }

    async fn answers(&self, _: Request<link::AnswersRequest>) -> Answer<link::AnswersResponse> {
        self.archive.answers().await.map_err(told)?;
        Ok(Response::new(link::AnswersResponse {}))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(error: ArchiveError) -> Status {
    forms::status(&error)
}

/// Parts are made when they are sent: an answer is not in memory twice.
fn answer<M, P>(first: M, parts: P) -> Response<Parts<M>>
where
    M: Send + 'static,
    P: IntoIterator<Item = M, IntoIter: Send + 'static>,
{
    Response::new(Box::pin(stream::iter(std::iter::once(first).chain(parts).map(Ok))))
}

fn messages(page: QuarantinePage) -> Response<Parts<link::QuarantineResponse>> {
    let first = link::QuarantineResponse { next: page.next.map(|QuarantineCursor(id)| id), messages: Vec::new() };
    let add = |message, part: &mut link::QuarantineResponse| push(forms::message_to_proto(&message), &mut part.messages);
    answer(first, parts(page.messages, add))
}

fn bounded<'a, T>(field: &str, list: &'a [T]) -> Result<&'a [T], Status> {
    if list.len() > MOST_RECORDS as usize {
        return Err(Status::invalid_argument(format!("{field}: more than {MOST_RECORDS}")));
    }
    Ok(list)
}

fn take_content(content: &mut BytesMut, part: &[u8]) -> Result<(), Status> {
    if content.len() + part.len() > MAX_CONTENT_BYTES {
        return Err(Status::invalid_argument(format!("content: more than {MAX_CONTENT_BYTES} bytes")));
    }
    content.extend_from_slice(part);
    Ok(())
}
