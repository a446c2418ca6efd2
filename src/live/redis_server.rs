//! What a Redis says about itself, as far as it matters to what is put there. Writes nothing.

use redis::{AsyncConnectionConfig, InfoDict, RedisError};

use super::mirror::{ANSWER_WITHIN, CONNECT_WITHIN, client};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisServer {
    pub version: String,
    /// It writes what it is told to a file: events that it took survive its death.
    pub has_append_only_file: bool,
    /// The policy by which it removes keys that nobody asked to be removed, once its memory is full.
    pub evicts: Option<String>,
}

/// Asks it.
///
/// # Errors
/// Where it cannot be reached, or refuses.
pub async fn ask(url: &str) -> Result<RedisServer, RedisError> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_WITHIN)).set_response_timeout(Some(ANSWER_WITHIN));
    let mut connection = client(url)?.get_multiplexed_async_connection_with_config(&config).await?;
    let info: InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
    let policy: String = info.get("maxmemory_policy").unwrap_or_default();
    let is_bounded = info.get::<u64>("maxmemory").is_some_and(|bytes| bytes > 0);
    Ok(RedisServer {
        version: info.get("redis_version").unwrap_or_default(),
        has_append_only_file: info.get::<u8>("aof_enabled") == Some(1),
        // Only `allkeys-…` touch keys without an expiry, and ours have none.
        evicts: (is_bounded && policy.starts_with("allkeys")).then_some(policy),
    })
}
