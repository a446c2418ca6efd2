//! Configurations, files of models and registered vehicles: they go over the link whole, in parts, and take their time.

use async_trait::async_trait;
use futures_util::stream;
use prost::bytes::Bytes;

use super::{RemoteArchive, first, within};
use crate::domain::{Timestamp, VehicleId, VehicleRecord};
use crate::rpc::archive_link::{QUESTION_WITHIN, TRANSFER_WITHIN, content_parts, forms, parts, push};
use crate::storage::{ArchiveError, ConfigurationArchive, StoredConfiguration, VehicleArchive};
use crate::wire::proto::link::v1 as link;

impl RemoteArchive {
    async fn configuration_of(&self, revision: Option<u64>) -> Result<Option<StoredConfiguration>, ArchiveError> {
        self.ask("read a configuration", TRANSFER_WITHIN, async |mut client| {
            let asked = link::GetConfigurationRequest { revision };
            let (mut head, mut content) = (None, Vec::new());
            let mut answer = client.get_configuration(within(TRANSFER_WITHIN, asked)).await?.into_inner();
            while let Some(part) = answer.message().await? {
                content.extend_from_slice(&part.content);
                if let Some(revision) = part.revision {
                    head = Some((revision, Timestamp::from_micros(part.created_at_us)));
                }
            }
            let Some((revision, created_at)) = head else { return Ok(None) };
            let content = String::from_utf8(content).map_err(forms::unfit("content"))?;
            Ok(Some(StoredConfiguration { revision, created_at, content }))
        })
        .await
    }
}

#[async_trait]
impl ConfigurationArchive for RemoteArchive {
    async fn put_configuration(&self, content: &str, at: Timestamp) -> Result<u64, ArchiveError> {
        let content = Bytes::copy_from_slice(content.as_bytes());
        self.ask("keep a configuration", TRANSFER_WITHIN, async |mut client| {
            let first = link::PutConfigurationRequest { at_us: at.as_micros(), content: Bytes::new() };
            let part = |content| link::PutConfigurationRequest { at_us: 0, content };
            let sent = stream::iter(std::iter::once(first).chain(content_parts(content).map(part)));
            Ok(client.put_configuration(within(TRANSFER_WITHIN, sent)).await?.into_inner().revision)
        })
        .await
    }

    async fn configuration(&self, revision: u64) -> Result<Option<StoredConfiguration>, ArchiveError> {
        self.configuration_of(Some(revision)).await
    }

    async fn newest_configuration(&self) -> Result<Option<StoredConfiguration>, ArchiveError> {
        self.configuration_of(None).await
    }

    async fn put_model_file(&self, sha256: &str, file: &[u8]) -> Result<(), ArchiveError> {
        let file = Bytes::copy_from_slice(file);
        self.ask("keep a model", TRANSFER_WITHIN, async |mut client| {
            let first = link::PutModelFileRequest { sha256: sha256.to_owned(), content: Bytes::new() };
            let part = |content| link::PutModelFileRequest { sha256: String::new(), content };
            let sent = stream::iter(std::iter::once(first).chain(content_parts(file).map(part)));
            client.put_model_file(within(TRANSFER_WITHIN, sent)).await?;
            Ok(())
        })
        .await
    }

    async fn model_file(&self, sha256: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        self.ask("read a model", TRANSFER_WITHIN, async |mut client| {
            let asked = link::GetModelFileRequest { sha256: sha256.to_owned() };
            let mut answer = client.get_model_file(within(TRANSFER_WITHIN, asked)).await?.into_inner();
            let head = first(&mut answer).await?;
            let mut file = Vec::new();
            while let Some(part) = answer.message().await? {
                file.extend_from_slice(&part.content);
            }
            Ok(head.is_there.then_some(file))
        })
        .await
    }
}

#[async_trait]
impl VehicleArchive for RemoteArchive {
    async fn put_vehicles(&self, records: &[(VehicleId, VehicleRecord)], at: Timestamp) -> Result<(), ArchiveError> {
        let records = records.to_vec();
        self.ask("register vehicles", TRANSFER_WITHIN, async |mut client| {
            let first = link::PutVehiclesRequest { at_us: at.as_micros(), vehicles: Vec::new() };
            let add = |record, part: &mut link::PutVehiclesRequest| push(forms::vehicle_to_proto(record), &mut part.vehicles);
            let sent = stream::iter(std::iter::once(first).chain(parts(records, add)));
            client.put_vehicles(within(TRANSFER_WITHIN, sent)).await?;
            Ok(())
        })
        .await
    }

    async fn registered_vehicles(&self) -> Result<Vec<(VehicleId, VehicleRecord)>, ArchiveError> {
        self.ask("list registered vehicles", TRANSFER_WITHIN, async |mut client| {
            let asked = link::RegisteredVehiclesRequest {};
            let mut answer = client.registered_vehicles(within(TRANSFER_WITHIN, asked)).await?.into_inner();
            let mut records = Vec::new();
            while let Some(part) = answer.message().await? {
                for vehicle in part.vehicles {
                    records.push(forms::vehicle(vehicle)?);
                }
            }
            Ok(records)
        })
        .await
    }

    async fn register_generation(&self) -> Result<u64, ArchiveError> {
        self.ask("tell the register's generation", QUESTION_WITHIN, async |mut client| {
            let asked = link::RegisterGenerationRequest {};
            Ok(client.register_generation(within(QUESTION_WITHIN, asked)).await?.into_inner().generation)
        })
        .await
    }
}
