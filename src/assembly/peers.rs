//! The processes that have the roles that this one has not.

use std::sync::Arc;

use anyhow::Context;

use crate::domain::SignalTable;
use crate::rpc::archive_link::RemoteArchive;
use crate::rpc::link::Peer;
use crate::settings::Links;
use crate::storage::SharedArchive;
use crate::tls::TlsClient;

pub(super) struct Peers {
    pub analytics: Option<Peer>,
    pub storage: Option<Peer>,
}

impl Peers {
    pub fn of(links: &Links) -> anyhow::Result<Self> {
        let peer = |name, address: &String| -> anyhow::Result<Option<Peer>> {
            if address.is_empty() {
                return Ok(None);
            }
            let tls = address.starts_with("https://").then(|| TlsClient::new(links.tls(), &[b"h2"])).transpose();
            let peer = Peer::new(name, address, tls.context("[links]")?);
            Ok(Some(peer.with_context(|| format!("`links.{name}` {address:?} is no address"))?))
        };
        Ok(Self { analytics: peer("analytics", &links.analytics)?, storage: peer("storage", &links.storage)? })
    }

    /// That of the storage role.
    pub fn archive(&self, table: &Arc<SignalTable>) -> Option<SharedArchive> {
        let peer = self.storage.as_ref()?;
        Some(Arc::new(RemoteArchive::new(peer.channel.clone(), Arc::clone(table))))
    }

    pub fn all(&self) -> Vec<Peer> {
        [&self.analytics, &self.storage].into_iter().flatten().cloned().collect()
    }
}
