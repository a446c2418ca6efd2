//! What the page draws below the vehicles: the style of a map server or the tiles that settings name, and the simulator's country.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::parameters::Parameters;
use super::problem::Problem;
use super::tiles::{self, Tiles, TilesError};
use crate::settings;
use crate::simulator::roads::{RoadClass, Roads};

#[derive(Debug, Clone)]
pub struct Map {
    /// Empty: the background that is part of the page.
    style: String,
    tiles: Option<Tiles>,
    policy: HeaderValue,
    /// GeoJSON. Only while a fleet is simulated here.
    roads: Option<Bytes>,
}

impl Map {
    /// # Errors
    /// Where the settings name tiles that are none.
    pub fn new(settings: &settings::Page, roads: Option<&Roads>) -> Result<Self, TilesError> {
        let roads = roads.map(|roads| geojson(roads).to_string().into());
        let has_tiles = !settings.map_tiles.as_os_str().is_empty();
        let tiles = has_tiles.then(|| Tiles::open(&settings.map_tiles)).transpose()?;
        Ok(Self { style: settings.map_style.clone(), tiles, policy: policy(settings), roads })
    }

    pub(super) const fn tiles(&self) -> Option<&Tiles> {
        self.tiles.as_ref()
    }

    /// Nothing but this origin, no code from texts, and no frame around it.
    pub(super) fn content_security_policy(&self) -> HeaderValue {
        self.policy.clone()
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Map)]
struct MapForm<'a> {
    /// Address of a MapLibre style; `null`: the background that is part of the page.
    #[schema(required)]
    style: Option<&'a str>,
    /// There are tiles at `map/tiles.pmtiles`.
    tiles: bool,
    /// There are roads of a simulated fleet.
    roads: bool,
}

pub fn router(map: Map) -> OpenApiRouter {
    OpenApiRouter::default().routes(routes!(about)).routes(routes!(roads)).routes(routes!(tiles::tiles)).with_state(map)
}

/// What the page draws below the vehicles.
#[utoipa::path(get, path = "/map", operation_id = "map", responses((status = OK, body = MapForm)))]
async fn about(State(map): State<Map>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let style = (!map.style.is_empty()).then_some(map.style.as_str());
    Ok(Json(MapForm { style, tiles: map.tiles.is_some(), roads: map.roads.is_some() }).into_response())
}

/// The roads of the simulated fleet, as a GeoJSON FeatureCollection.
#[utoipa::path(get, path = "/map/roads", responses((status = OK, body = Object, content_type = "application/geo+json")))]
async fn roads(State(map): State<Map>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let none = || Problem::not_found("no fleet is simulated in this process, so it knows no roads");
    let roads = map.roads.ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, "application/geo+json")], roads).into_response())
}

fn policy(settings: &settings::Page) -> HeaderValue {
    let own = settings.map_style.split('/').take(3).collect::<Vec<_>>().join("/");
    let outside: Vec<&str> =
        settings.map_origins.iter().map(String::as_str).chain([own.as_str()]).filter(|origin| !origin.is_empty()).collect();
    let outside = if outside.is_empty() { String::new() } else { format!(" {}", outside.join(" ")) };
    let policy = format!(
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:{outside}; \
         connect-src 'self'{outside}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("settings admit only origins")
}

fn geojson(roads: &Roads) -> Value {
    // A metre is seen on a map, a millimetre is not.
    let place = |(latitude, longitude): (f64, f64)| json!([(longitude * 1e5).round() / 1e5, (latitude * 1e5).round() / 1e5]);
    let lines = roads.lines().map(|line| {
        let points: Vec<_> = line.points.iter().copied().map(place).collect();
        json!({"type": "Feature", "properties": {"class": class(line.class)}, "geometry": {"type": "LineString", "coordinates": points}})
    });
    let places = Roads::places().map(|known| {
        let at = place((known.latitude, known.longitude));
        let class = if known.is_city { "city" } else { "town" };
        json!({"type": "Feature", "properties": {"class": class, "name": known.name}, "geometry": {"type": "Point", "coordinates": at}})
    });
    json!({"type": "FeatureCollection", "features": lines.chain(places).collect::<Vec<_>>()})
}

const fn class(class: RoadClass) -> &'static str {
    match class {
        RoadClass::Street => "street",
        RoadClass::Arterial => "arterial",
        RoadClass::Country => "country",
        RoadClass::Motorway => "motorway",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy_of(style: &str, origins: &[&str]) -> String {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let settings = settings::Page { map_style: style.to_owned(), map_origins: origins, ..settings::Page::default() };
        policy(&settings).to_str().unwrap().to_owned()
    }

    #[test]
    fn the_page_asks_nobody_else_unless_settings_say_so() {
        let alone = policy_of("", &[]);
        assert!(!alone.contains("http") && !alone.contains("unsafe") && alone.contains("connect-src 'self';"), "{alone}");
        let tiled = policy_of("https://maps.example.org/dark/style.json", &["https://tiles.example.org"]);
        assert!(tiled.contains("connect-src 'self' https://tiles.example.org https://maps.example.org;"), "{tiled}");
    }

    #[test]
    fn roads_and_towns_are_geojson() {
        let map = Map::new(&settings::Page::default(), Some(&Roads::new(1))).unwrap();
        let collection: Value = serde_json::from_slice(&map.roads.unwrap()).unwrap();
        let features = collection["features"].as_array().unwrap();
        let count = |class: &str| features.iter().filter(|feature| feature["properties"]["class"] == class).count();
        assert!(count("motorway") > 5 && count("street") > 100 && count("town") > 5);
        let first = features[0]["geometry"]["coordinates"][0].as_array().unwrap();
        assert!((7.9..8.9).contains(&first[0].as_f64().unwrap()), "longitude comes first: {first:?}");
    }
}
