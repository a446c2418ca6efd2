//! Fences as GeoJSON (RFC 7946), in and out. What a sound fence is: `domain::fence`.
//!
//! A FeatureCollection (or one Feature): Polygon, MultiPolygon; Point with `radius_m`; LineString, MultiLineString with `buffer_m`.
//! Properties: `id` (or the Feature's), `name`, `on`, `dwell`, `max_speed_km_per_h`, `groups`, `severity`. Others, and foreign members of
//! a Feature, are kept and go out again; a property that is nearly one of ours is refused, for a misspelt limit would never be heard of.
//! Altitudes and members of the collection are not kept.

mod files;
mod policy;
mod write;

use std::fmt;

use geojson::{Feature, GeometryValue, JsonObject, Position, feature::Id};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::fence::{Area, Place, Polygon, Shape, Stroke};
use crate::domain::{Fence, FenceId};

pub use files::{FenceFilesError, FileMistake, read_files};
pub use write::write;

/// One fence that cannot be: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceMistake {
    /// Which Feature, from 0; `None`: the document as a whole.
    pub feature: Option<usize>,
    /// Its id, as far as it says one.
    pub id: Option<String>,
    /// With polygon, ring and coordinate, where one of these is wrong.
    pub problem: String,
}

/// Every fence that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GeoJsonError {
    pub mistakes: Vec<FenceMistake>,
}

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    features: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    crs: Option<Value>,
}

/// # Errors
/// [`GeoJsonError`] with every mistake; fences are taken all or none.
pub fn read(text: &str) -> Result<Vec<Fence>, GeoJsonError> {
    let whole = |problem: String| GeoJsonError { mistakes: vec![FenceMistake { feature: None, id: None, problem }] };
    let collection: Collection<'_> = serde_json::from_str(text).map_err(|error| whole(format!("it is no GeoJSON: {error}")))?;
    if let Some(crs) = collection.crs.filter(|crs| !is_wgs_84(crs)) {
        return Err(whole(format!(
            "its coordinates are of another system ({crs}); only longitude and latitude of WGS 84 are read"
        )));
    }
    let single;
    let features: &[&RawValue] = match (collection.kind.as_str(), &collection.features) {
        ("FeatureCollection", Some(features)) => features,
        ("Feature", _) => {
            single = [serde_json::from_str(text).map_err(|error| whole(format!("it is no GeoJSON: {error}")))?];
            &single
        }
        (kind, _) => return Err(whole(format!("it is a {kind:?}; a FeatureCollection with `features` is needed"))),
    };
    let mut fences: Vec<Fence> = Vec::with_capacity(features.len());
    let mut known = std::collections::HashMap::new();
    let mut mistakes = Vec::new();
    for (index, raw) in features.iter().enumerate() {
        let mut id = None;
        match fence(raw.get(), &mut id) {
            Ok(fence) => match known.insert(fence.id.clone(), index) {
                None => fences.push(fence),
                Some(first) => {
                    mistakes.push(FenceMistake { feature: Some(index), id, problem: format!("feature {first} has the same id") });
                }
            },
            Err(problem) => mistakes.push(FenceMistake { feature: Some(index), id, problem }),
        }
    }
    if mistakes.is_empty() { Ok(fences) } else { Err(GeoJsonError { mistakes }) }
}

/// Tells the id as soon as it is known, also where the fence is refused.
fn fence(text: &str, told_id: &mut Option<String>) -> Result<Fence, String> {
    let mut feature: Feature = serde_json::from_str(text).map_err(|error| format!("it is no Feature: {error}"))?;
    let mut properties = feature.properties.take().unwrap_or_default();
    let id = take_id(feature.id.take(), &mut properties)?;
    *told_id = Some(id.clone());
    let id = FenceId::new(&id).map_err(|error| error.to_string())?;
    let name = match properties.shift_remove("name") {
        None | Some(Value::Null) => id.as_str().into(),
        Some(Value::String(name)) => name.into(),
        Some(other) => return Err(format!("`name` is {other}; it must be a text")),
    };
    let policy = policy::take(&mut properties)?;
    let geometry = feature.geometry.take().ok_or("it has no geometry")?;
    let shape = shape(&geometry.value, &mut properties)?;
    policy::refuse_near_misses(&properties)?;
    let has_rest = !properties.is_empty() || feature.bbox.is_some() || feature.foreign_members.is_some();
    feature.properties = Some(properties);
    let kept = if has_rest { serde_json::to_string(&feature).map_err(|error| error.to_string())? } else { String::new() };
    Ok(Fence { id, name, shape, policy, kept: kept.into() })
}

fn take_id(of_feature: Option<Id>, properties: &mut JsonObject) -> Result<String, String> {
    let of_feature = of_feature.map(|id| match id {
        Id::String(text) => text,
        Id::Number(number) => number.to_string(),
    });
    let of_properties = match properties.shift_remove("id") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(other) => return Err(format!("`id` is {other}; it must be a text")),
    };
    match (of_feature, of_properties) {
        (Some(one), Some(other)) if one != other => {
            Err(format!("the Feature's id is {one:?} and its property `id` is {other:?}"))
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err("it has no `id`".to_owned()),
    }
}

fn shape(geometry: &GeometryValue, properties: &mut JsonObject) -> Result<Shape, String> {
    let mut reach = |name: &str, wanted: bool| match (properties.shift_remove(name), wanted) {
        (Some(Value::Number(metres)), true) => Ok(metres.as_f64().unwrap_or(f64::NAN)),
        (Some(other), true) => Err(format!("`{name}` is {other}; it must be a number of metres")),
        (None, true) => Err(format!("a {} needs `{name}`", geometry.type_name())),
        (None, false) => Ok(0.0),
        (Some(_), false) => Err(format!("`{name}` is not for a {}", geometry.type_name())),
    };
    let is_point = matches!(geometry, GeometryValue::Point { .. });
    let is_line = matches!(geometry, GeometryValue::LineString { .. } | GeometryValue::MultiLineString { .. });
    let radius_m = reach("radius_m", is_point)?;
    let buffer_m = reach("buffer_m", is_line)?;
    let shape = match geometry {
        GeometryValue::Polygon { coordinates } => Area::new(vec![polygon(0, coordinates)?]).map(Shape::Area),
        GeometryValue::MultiPolygon { coordinates } => {
            let polygons = coordinates.iter().enumerate().map(|(index, rings)| polygon(index, rings));
            Area::new(polygons.collect::<Result<_, _>>()?).map(Shape::Area)
        }
        GeometryValue::Point { coordinates } => Stroke::circle(place(coordinates)?, radius_m).map(Shape::Stroke),
        GeometryValue::LineString { coordinates } => {
            Stroke::corridor(vec![places(0, 0, coordinates)?], buffer_m).map(Shape::Stroke)
        }
        GeometryValue::MultiLineString { coordinates } => {
            let lines = coordinates.iter().enumerate().map(|(index, line)| places(0, index, line));
            Stroke::corridor(lines.collect::<Result<_, _>>()?, buffer_m).map(Shape::Stroke)
        }
        GeometryValue::MultiPoint { .. } | GeometryValue::GeometryCollection { .. } => {
            return Err(format!("a {} is no fence; write one Feature for each part", geometry.type_name()));
        }
    };
    shape.map_err(|invalid| invalid.to_string())
}

fn polygon(polygon: usize, rings: &[Vec<Position>]) -> Result<Polygon, String> {
    rings.iter().enumerate().map(|(ring, positions)| places(polygon, ring, positions)).collect()
}

fn places(polygon: usize, ring: usize, positions: &[Position]) -> Result<Vec<Place>, String> {
    let at = |index: usize| move |problem| format!("polygon {polygon}, ring {ring}, coordinate {index}: {problem}");
    positions.iter().enumerate().map(|(index, position)| place(position).map_err(at(index))).collect()
}

fn place(position: &Position) -> Result<Place, String> {
    match position.as_slice() {
        [longitude, latitude, ..] => Ok(Place { longitude: *longitude, latitude: *latitude }),
        short => Err(format!("{short:?} is no [longitude, latitude]")),
    }
}

/// The member that GeoJSON had before RFC 7946: only the one system that it has now.
fn is_wgs_84(crs: &Value) -> bool {
    let name = crs.pointer("/properties/name").and_then(Value::as_str).unwrap_or_default();
    crs.is_null() || name.ends_with("CRS84") || name.ends_with(":4326")
}

impl fmt::Display for FenceMistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.feature {
            write!(formatter, "feature {index}")?;
            if let Some(id) = &self.id {
                write!(formatter, " ({id:?})")?;
            }
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.problem)
    }
}

impl fmt::Display for GeoJsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            write!(formatter, "{}{mistake}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
