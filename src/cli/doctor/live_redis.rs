//! What the Redis of live state and of the alert queue says about itself.

use super::Patient;
use super::finding::{Cause, Finding};
use crate::live::redis_server::{RedisServer, ask};

pub fn live(patient: &Patient) -> Vec<Finding> {
    let url = &patient.settings.live.url;
    let Some(address) = url.redis() else { return Vec::new() };
    let place = url.to_string();
    match patient.runtime.block_on(ask(address)) {
        Ok(server) => judge(&place, &server),
        Err(error) => {
            vec![
                Finding::failed("redis", place, error.to_string())
                    .because(
                        "other processes see old states, and alerts wait on disk, for 24 hours at most; nothing else needs it",
                    )
                    .next("look whether it runs, listens at this address and knows the user")
                    .caused_by(Cause::DependencyDown),
            ]
        }
    }
}

fn judge(place: &str, server: &RedisServer) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("redis", place, format!("Redis {}", server.version))];
    if !server.has_append_only_file {
        findings.push(
            Finding::warning("redis", place, "it keeps no append-only file")
                .because(
                    "live state is written again after a restart, events in the stream that no reader has handled yet are not",
                )
                .next("set appendonly yes"),
        );
    }
    if let Some(policy) = &server.evicts {
        findings.push(
            Finding::warning("redis", place, format!("when its memory is full it removes keys ({policy})"))
                .because("the stream of alerts is one of them, and a vehicle that is removed is missing until it speaks again")
                .next("set maxmemory-policy noeviction"),
        );
    }
    findings
}
