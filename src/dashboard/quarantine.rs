//! `POST /api/v1/quarantine/replay`: refused messages are taken in after all, once what refused them is mended.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::parameters::Parameters;
use super::problem::Problem;
use crate::domain::Reason;
use crate::ingest::quarantine_replay::{MOST_MESSAGES, QuarantineReplay, ReplayError, Replayed, Which};
use crate::storage::QuarantineCursor;

/// A reason, ids or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Replay)]
struct ReplayForm {
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    ids: Option<Vec<i64>>,
    /// `next_cursor` of the call before; with a reason only.
    cursor: Option<String>,
}

/// Takes refused messages in after all, once what refused them is mended.
#[utoipa::path(post, path = "/quarantine/replay", request_body = ReplayForm, responses((status = OK, body = Replayed)))]
pub async fn replay(State(replay): State<QuarantineReplay>, parameters: Parameters, body: Bytes) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let form: ReplayForm = serde_json::from_slice(&body).map_err(|error| bad_replay(error.to_string()))?;
    let replayed = replay.replay(&form.which()?).await?;
    Ok(Json(replayed).into_response())
}

impl ReplayForm {
    fn which(self) -> Result<Which, Problem> {
        let reason = self.reason.map(|code| {
            Reason::from_code(&code).ok_or_else(|| bad_replay(format!("`reason` = {code:?} is none that /quarantine lists")))
        });
        let reason = reason.transpose()?;
        let after = self.cursor.map(|cursor| {
            let after = cursor.parse().map(QuarantineCursor);
            after.map_err(|_| bad_replay("`cursor` is one that this address gave out as `next_cursor`"))
        });
        match (self.ids, reason, after.transpose()?) {
            (Some(_), _, Some(_)) => Err(bad_replay("`cursor` goes with a `reason` alone")),
            (Some(ids), _, None) if ids.len() > MOST_MESSAGES as usize => {
                Err(bad_replay(format!("at most {MOST_MESSAGES} `ids` at once")))
            }
            (Some(ids), reason, None) => Ok(Which::Ids { ids, reason }),
            (None, Some(reason), after) => Ok(Which::OfReason { reason, after }),
            (None, None, _) => Err(bad_replay("say which: a `reason` such as \"json_syntax\", or `ids`")),
        }
    }
}

fn bad_replay(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_replay", detail)
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Archive(error) => error.into(),
            ReplayError::NotPromised(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string()),
        }
    }
}
