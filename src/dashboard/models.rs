//! Models that score here, as their contracts describe them.

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
use crate::analytics::blueprint::ModelSource;
use crate::analytics::contract::{Contract, ContractError, Kind};
use crate::analytics::onnx_file::{OnnxFileError, metadata_of};
use crate::domain::SignalTable;
use crate::settings;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelForm {
    name: String,
    version: String,
    /// Its scores count. Others are not shown yet.
    status: &'static str,
    kind: &'static str,
    description: String,
    author: String,
    license: String,
    features: Vec<String>,
    /// Classes and powertrains that it is for; empty: every one.
    applies_to: AppliesTo,
    alert: AlertForm,
    file_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct AppliesTo {
    classes: Vec<String>,
    powertrains: Vec<String>,
}

/// When its score becomes an alert.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ModelAlert)]
struct AlertForm {
    /// `raw`: the model's own output; `tail_probability`: the share of held-out normal readings that score at least as high.
    measure: &'static str,
    open: f64,
    close: f64,
    raised: u8,
    of: u8,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Models)]
struct ModelsForm<'a> {
    models: &'a [ModelForm],
}

#[derive(Debug, thiserror::Error)]
pub enum ModelFormError {
    #[error(transparent)]
    File(#[from] OnnxFileError),
    #[error(transparent)]
    Contract(#[from] ContractError),
}

pub fn router(models: Vec<ModelForm>) -> OpenApiRouter {
    // As long as the process lives they are the same.
    OpenApiRouter::default().routes(routes!(list)).with_state(Arc::new(models))
}

/// The models that score here.
#[utoipa::path(get, path = "/models", operation_id = "models", responses((status = OK, body = ModelsForm)))]
async fn list(State(models): State<Arc<Vec<ModelForm>>>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    Ok(Json(ModelsForm { models: &models }).into_response())
}

impl ModelForm {
    /// # Errors
    /// Where the file is none that lanes would take.
    pub fn new(source: &ModelSource, table: &SignalTable, settings: &settings::ModelAlert) -> Result<Self, ModelFormError> {
        let contract = Contract::read(&metadata_of(&source.file)?, table)?;
        let kind = match contract.kind {
            Kind::Score => "score",
            Kind::Reconstruction { .. } => "reconstruction",
            Kind::Probability { .. } => "probability",
        };
        let alert = match &contract.alert {
            Some(limits) => AlertForm {
                measure: "raw",
                open: limits.open,
                close: limits.close,
                raised: limits.persistence.raised,
                of: limits.persistence.of,
            },
            None => AlertForm {
                measure: "tail_probability",
                open: settings.open_tail_probability,
                close: settings.close_tail_probability,
                raised: settings.raised,
                of: settings.of,
            },
        };
        Ok(Self {
            name: contract.name.to_string(),
            version: contract.version.to_string(),
            status: "active",
            kind,
            description: contract.description,
            author: contract.author,
            license: contract.license,
            features: contract.features,
            applies_to: AppliesTo { classes: contract.applies_to.classes, powertrains: contract.applies_to.powertrains },
            alert,
            file_bytes: source.file.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_described_by_its_contract() {
        let file = include_bytes!("../../tests/models/autoencoder.onnx").as_slice();
        let source = ModelSource { origin: "tests/models/autoencoder.onnx".into(), file: file.into() };
        let form = ModelForm::new(&source, &SignalTable::default(), &settings::ModelAlert::default()).unwrap();
        assert_eq!((form.name.as_str(), form.kind, form.alert.measure), ("autoencoder", "reconstruction", "tail_probability"));
        assert!(!form.features.is_empty() && form.file_bytes == file.len());
    }
}
