//! What the dashboard wants of lanes in another process: commands of people, and fences.

use std::sync::Arc;

use tonic::transport::Channel;
use tonic::{Request, Status};

use super::control_forms::{command_answer, command_from_domain, fences_answer};
use super::{ANSWER_WITHIN, Peer, describe};
use crate::domain::Command;
use crate::fleet::{CommandFailed, Commands, Fences, FencesRefused};
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::analytics_link_client::AnalyticsLinkClient;

#[must_use]
pub fn commands_to(peer: &Peer) -> Commands {
    let client = AnalyticsLinkClient::new(peer.channel.clone());
    Commands::new(move |command: Command| {
        let mut client = client.clone();
        async move {
            let away = |status: Status| CommandFailed::Away(describe(&status));
            let answer = client.command(soon(command_from_domain(&command))).await.map_err(away)?.into_inner();
            command_answer(answer, &command).map_err(CommandFailed::Away)?.map_err(CommandFailed::Refused)
        }
    })
}

#[must_use]
pub fn fences_of(peer: &Peer) -> Fences {
    let away = |status: Status| FencesRefused::Away(describe(&status));
    let (asked, client) = (client_of(peer), client_of(peer));
    Fences {
        get: Arc::new(move || {
            let mut client = asked.clone();
            Box::pin(async move {
                let answer = client.get_fences(soon(link::GetFencesRequest {})).await;
                answer.map(|answer| answer.into_inner().fences).map_err(away)
            })
        }),
        put: Arc::new(move |fences| {
            let mut client = client.clone();
            Box::pin(async move {
                let answer = client.put_fences(soon(link::PutFencesRequest { fences })).await;
                fences_answer(answer.map_err(away)?.into_inner())
            })
        }),
    }
}

fn client_of(peer: &Peer) -> AnalyticsLinkClient<Channel> {
    AnalyticsLinkClient::new(peer.channel.clone())
}

fn soon<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_WITHIN);
    request
}
