//! Objectives as they stand: what was promised, what was kept, how fast the rest is used up. Counts nothing: `crate::slo`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::parameters::Parameters;
use super::problem::Problem;
use crate::slo::{Alarm, BUDGET_DAYS, Burning, Slo, Standing};

#[derive(Serialize, ToSchema)]
#[schema(as = Slo)]
struct SloForm {
    /// The period of error budgets. Counts begin with the process, those of Prometheus do not.
    budget_days: u16,
    objectives: Vec<ObjectiveForm>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Objective)]
struct ObjectiveForm {
    /// `durable`, `scored`, `alerted`, `available` or `kept`.
    name: &'static str,
    /// What a good event is.
    meaning: &'static str,
    /// Share of good events that is promised.
    objective: f64,
    /// In time is what takes no longer; null where time does not matter.
    within_seconds: Option<f64>,
    /// Events since the start of the process.
    events: u64,
    good: u64,
    burn_rates: Vec<BurnRateForm>,
    /// `fast`: both 5m and 1h burn above 14.4; `slow`: both 30m and 6h above 6.
    alarm: Option<&'static str>,
    /// Share of the budget that is left; below 0: overspent.
    budget_left: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BurnRate)]
struct BurnRateForm {
    /// `5m`, `30m`, `1h` or `6h`, less where the process is younger.
    window: &'static str,
    events: u64,
    good: u64,
    /// Share of bad events over the share that may be bad. At 1 the budget lasts for exactly its period.
    burn_rate: f64,
}

pub fn router(slo: Arc<Slo>) -> OpenApiRouter {
    OpenApiRouter::default().routes(routes!(show)).with_state(slo)
}

/// Service level objectives, their error budgets and burn rates.
#[utoipa::path(get, path = "/slo", operation_id = "slo", responses((status = OK, body = SloForm)))]
async fn show(State(slo): State<Arc<Slo>>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let objectives = slo.standings().iter().map(ObjectiveForm::new).collect();
    Ok(Json(SloForm { budget_days: BUDGET_DAYS, objectives }).into_response())
}

impl ObjectiveForm {
    fn new(from: &Standing) -> Self {
        Self {
            name: from.name,
            meaning: from.meaning,
            objective: from.objective,
            within_seconds: from.within.map(|within| within.as_secs_f64()),
            events: from.count.all,
            good: from.count.good,
            burn_rates: from.burning.iter().map(BurnRateForm::new).collect(),
            alarm: from.alarm.map(|alarm| match alarm {
                Alarm::Fast => "fast",
                Alarm::Slow => "slow",
            }),
            budget_left: from.budget_left,
        }
    }
}

impl BurnRateForm {
    fn new(from: &Burning) -> Self {
        Self { window: from.window, events: from.count.all, good: from.count.good, burn_rate: from.rate }
    }
}
