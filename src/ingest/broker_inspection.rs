//! What can be seen of an outside broker's limits: one connection of its own, which takes no message of the fleet and leaves nothing
//! behind. Judges nothing: `cli::doctor`.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, Filter, Packet};
use tokio::time::timeout;

use super::broker_address::BrokerAddress;
use super::broker_connection::{BrokerError, open};
use super::subscriber::{SESSION_EXPIRY, SubscriberError, connect, login};
use super::topic_filter::TopicFilter;
use crate::settings;

/// Mosquitto answers within milliseconds; who says nothing for so long has no `$SYS` for us.
const SYS_WAIT: Duration = Duration::from_secs(2);

/// Mosquitto's messages about itself.
const SYS_FILTER: &str = "$SYS/broker/#";
const SYS_VERSION: &str = "$SYS/broker/version";
const SYS_DROPPED: &str = "$SYS/broker/publish/messages/dropped";

/// As the broker announced them; what MQTT 5 leaves out stands for its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerLimits {
    /// Messages that may be on the way unacknowledged.
    pub receive_maximum: u16,
    pub maximum_qos: u8,
    pub retained: bool,
    /// What it granted of the week that the subscriber asks for.
    pub session_expiry: Duration,
    pub asked_session_expiry: Duration,
    pub max_packet_bytes: Option<u32>,
    pub wildcards: bool,
    pub shared_subscriptions: bool,
    /// From `$SYS`, where it may be read.
    pub version: Option<String>,
    pub messages_dropped: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    #[error(transparent)]
    Settings(#[from] SubscriberError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl InspectionError {
    /// Whether nobody answered, rather than somebody who said no.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        matches!(self, Self::Broker(BrokerError::Io(_) | BrokerError::Closed | BrokerError::Silent))
    }
}

/// Connects under a name of its own, so that a running service keeps its session.
///
/// # Errors
/// Where the settings of the broker cannot work, or it does not let us in.
pub async fn inspect(settings: &settings::Broker) -> Result<BrokerLimits, InspectionError> {
    TopicFilter::parse(&settings.topic_filter).map_err(SubscriberError::from)?;
    let address = BrokerAddress::new(settings)?;
    let mut connect = connect(settings)?;
    connect.client_id = format!("{}-doctor-{}", settings.client_id, std::process::id());
    connect.clean_start = true;
    let (mut reader, mut writer, answer) = open(&address, &connect, login(settings)?.as_ref()).await?;
    let mut limits = BrokerLimits::announced(answer.properties.as_ref());
    writer.subscribe(Filter::new(SYS_FILTER, QoS::AtMostOnce))?;
    // Answered behind what is retained.
    writer.ping()?;
    writer.flush().await?;
    let read_sys = async {
        loop {
            match reader.next().await? {
                Packet::Publish(publish) => limits.take_sys(&publish.topic, &publish.payload),
                Packet::PingResp(_) => return Ok::<(), BrokerError>(()),
                _ => {}
            }
        }
    };
    // A broker that disconnects whoever asks for `$SYS` has told us its limits all the same.
    let _silent_or_refused = timeout(SYS_WAIT, read_sys).await;
    if writer.leave_nothing_behind().is_ok() {
        let _gone = writer.flush().await;
    }
    Ok(limits)
}

impl BrokerLimits {
    /// Defaults: MQTT 5.0, 3.2.2.3.
    fn announced(properties: Option<&ConnAckProperties>) -> Self {
        let of = |get: fn(&ConnAckProperties) -> Option<u8>| properties.and_then(get).is_none_or(|available| available != 0);
        let granted = properties.and_then(|properties| properties.session_expiry_interval);
        Self {
            receive_maximum: properties.and_then(|properties| properties.receive_max).unwrap_or(u16::MAX),
            maximum_qos: properties.and_then(|properties| properties.max_qos).unwrap_or(2),
            retained: of(|properties| properties.retain_available),
            session_expiry: granted.map_or(SESSION_EXPIRY, |seconds| Duration::from_secs(seconds.into())),
            asked_session_expiry: SESSION_EXPIRY,
            max_packet_bytes: properties.and_then(|properties| properties.max_packet_size),
            wildcards: of(|properties| properties.wildcard_subscription_available),
            shared_subscriptions: of(|properties| properties.shared_subscription_available),
            version: None,
            messages_dropped: None,
        }
    }

    fn take_sys(&mut self, topic: &[u8], payload: &[u8]) {
        let text = String::from_utf8_lossy(payload);
        if topic == SYS_VERSION.as_bytes() {
            self.version = Some(text.chars().take(100).collect());
        } else if topic == SYS_DROPPED.as_bytes() {
            self.messages_dropped = text.trim().parse().ok();
        }
    }
}
