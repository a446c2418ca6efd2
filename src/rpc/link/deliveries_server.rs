//! The lanes' end of the link from the ways in, and what the dashboard asks of them.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::control_forms::{command_from_proto, command_to_proto, fences_to_proto};
use crate::analytics::lanes::LaneInlet;
use crate::domain::{Outcome, Receipt, SignalTable};
use crate::fleet::Fences;
use crate::tasks::Tasks;
use crate::wire::delivery::decode_delivery;
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::analytics_link_server::AnalyticsLink;

/// Deliveries of one connection that are on their way to be durable. Full: nothing more is read from it.
const ON_THE_WAY: usize = 16_384;
/// Of one message.
const TOGETHER: usize = 512;

/// The service. Holds the lanes open: dropped with the server.
pub struct AnalyticsLinkService {
    pub lanes: LaneInlet,
    pub fences: Fences,
    pub table: Arc<SignalTable>,
    pub tasks: Tasks,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type OnTheWay = (u64, oneshot::Receiver<Outcome>);

#[tonic::async_trait]
impl AnalyticsLink for AnalyticsLinkService {
    type DeliverStream = Answers<link::DeliverResponse>;

    async fn deliver(&self, request: Request<Streaming<link::DeliverRequest>>) -> Result<Response<Self::DeliverStream>, Status> {
        let mut requests = request.into_inner();
        let (on_the_way, answered) = mpsc::channel::<Result<OnTheWay, Status>>(ON_THE_WAY);
        let (lanes, table, mut stop) = (self.lanes.clone(), Arc::clone(&self.table), self.tasks.stop());
        self.tasks.spawn("deliveries link", async move {
            loop {
                let request = tokio::select! {
                    request = requests.message() => request,
                    () = stop.requested() => break,
                };
                match request {
                    Ok(Some(request)) => {
                        if let Err(status) = pass_on(request, &lanes, &table, &on_the_way).await {
                            let _gone = on_the_way.send(Err(status)).await;
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(status) => {
                        tracing::debug!(%status, "the connection of a way in broke");
                        break;
                    }
                }
            }
            Ok(())
        });
        let kept = ReceiverStream::new(answered).map(async |on_the_way| {
            let (number, outcome) = on_the_way?;
            let lost = |_dropped| Status::unavailable("the lanes are ending; send again what has no answer");
            let Outcome { accepted, duplicates } = outcome.await.map_err(lost)?;
            Ok(link::Kept { number, accepted, duplicates })
        });
        let answers = kept.buffer_unordered(ON_THE_WAY).ready_chunks(TOGETHER).map(|kept: Vec<Result<link::Kept, Status>>| {
            Ok(link::DeliverResponse { kept: kept.into_iter().collect::<Result<_, _>>()? })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn command(&self, request: Request<link::CommandRequest>) -> Result<Response<link::CommandResponse>, Status> {
        let command = command_from_proto(request.into_inner()).map_err(Status::invalid_argument)?;
        let answer = self.lanes.command(command).await;
        let answer = answer.map_err(|_closed| Status::unavailable("the lanes are ending; nothing was changed"))?;
        Ok(Response::new(command_to_proto(answer)))
    }

    async fn get_fences(&self, _: Request<link::GetFencesRequest>) -> Result<Response<link::GetFencesResponse>, Status> {
        let fences = (self.fences.get)().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(link::GetFencesResponse { fences }))
    }

    async fn put_fences(&self, request: Request<link::PutFencesRequest>) -> Result<Response<link::PutFencesResponse>, Status> {
        let answer = (self.fences.put)(request.into_inner().fences).await;
        Ok(Response::new(fences_to_proto(answer)))
    }
}

async fn pass_on(
    request: link::DeliverRequest,
    lanes: &LaneInlet,
    table: &SignalTable,
    on_the_way: &mpsc::Sender<Result<OnTheWay, Status>>,
) -> Result<(), Status> {
    for delivery in request.deliveries {
        let (receipt, outcome) = Receipt::new();
        let decoded = decode_delivery(&delivery, receipt, table);
        let decoded = decoded.map_err(|error| Status::invalid_argument(format!("delivery {}: {error}", delivery.number)))?;
        lanes.deliver(decoded).await.map_err(|_closed| Status::unavailable("the lanes are ending"))?;
        let gone = |_| Status::cancelled("whoever sent it has gone");
        on_the_way.send(Ok((delivery.number, outcome))).await.map_err(gone)?;
    }
    Ok(())
}
