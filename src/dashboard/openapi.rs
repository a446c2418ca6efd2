//! `/api/openapi.json`: every address of the API with its parameters and forms, for tools and people. The handlers describe themselves;
//! here is what all of them share.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Components, Content, Info, License, OpenApi, PathItem, Ref, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::problem::Problem;

/// The description of what `routes` collected from the handlers, as JSON.
///
/// # Panics
/// Never: it consists of texts and numbers.
pub fn document(routes: OpenApi) -> Bytes {
    let mut document = routes;
    let mut info = Info::new("Odograph", env!("CARGO_PKG_VERSION"));
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    (info.license, info.description) = (Some(license), None);
    document.info = info;
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    document.paths.paths.values_mut().flat_map(operations).for_each(add_problem);
    serde_json::to_vec(&document).expect("texts and numbers are JSON").into()
}

pub async fn show(State(document): State<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

/// Whatever is asked, what refuses it says so in one form.
fn add_problem(operation: &mut Operation) {
    let schema = Ref::from_schema_name(Problem::name());
    let problem = ResponseBuilder::new().description("Why not").content("application/problem+json", Content::new(Some(schema)));
    operation.responses.responses.insert("default".to_owned(), problem.build().into());
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, .. } = path;
    [get, put, post].into_iter().flatten()
}
