//! Query parameters, read strictly: an unknown name or a bad value is an error that says what would be right.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::extract::Query;
use axum::http::request::Parts;

use super::problem::Problem;

/// The parameters of one request, each at most once.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        pairs.map(|Query(pairs)| Self(pairs)).map_err(|error| Problem::bad_parameter(error.body_text()))
    }
}

impl Parameters {
    /// Says which names this address takes, before any value is read.
    pub fn only(self, known: &[&str]) -> Result<Self, Problem> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name));
                let hint = nearest
                    .map_or_else(String::new, |nearest| format!(", did you mean `{nearest}`? It takes {}", known.join(", ")));
                return Err(Problem::bad_parameter(format!("`{name}` is no parameter here{hint}")));
            }
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_parameter(format!("`{name}` is given twice")));
            }
        }
        Ok(self)
    }

    /// `what` says what a right value looks like.
    pub fn get<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some((_, text)) = self.0.iter().find(|(known, _)| known == name) else { return Ok(None) };
        let bad = |_| {
            // In a query, + is read as a space: the usual mistake with 2026-11-24T03:17:00+01:00.
            let hint = if text.contains(' ') { "; write + as %2B" } else { "" };
            Problem::bad_parameter(format!("`{name}` = {text:?} is not {what}{hint}"))
        };
        text.parse().map(Some).map_err(bad)
    }

    /// 1 to `most`; without one, `most` or 100, whichever is less.
    pub fn limit(&self, most: u32) -> Result<u32, Problem> {
        let limit = self.get("limit", "a whole number")?.unwrap_or(most.min(100));
        if !(1..=most).contains(&limit) {
            return Err(Problem::bad_parameter(format!("`limit` = {limit} is not within 1..{most}")));
        }
        Ok(limit)
    }
}
