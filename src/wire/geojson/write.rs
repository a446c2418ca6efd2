//! Fences as a FeatureCollection, with what their sources said besides. Reading: `geojson`.

use geojson::feature::Id;
use geojson::{Feature, FeatureCollection, Geometry, GeometryValue, Position};
use serde_json::Value;

use crate::domain::Fence;
use crate::domain::fence::{Place, Policy, Shape, Stroke};
use crate::settings::Interval;

/// One line of JSON. What `read` makes of it equals `fences`.
#[must_use]
pub fn write<'a>(fences: impl IntoIterator<Item = &'a Fence>) -> String {
    let features = fences.into_iter().map(feature).collect();
    FeatureCollection { bbox: None, features, foreign_members: None }.to_string()
}

fn feature(fence: &Fence) -> Feature {
    // Empty where the source said nothing more.
    let mut feature: Feature = serde_json::from_str(&fence.kept).unwrap_or_default();
    let mut properties = geojson::JsonObject::new();
    let mut set = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    set("name", fence.name.as_ref().into());
    let Policy { on_enter, on_exit, dwell, max_speed_km_per_h, groups, severity } = &fence.policy;
    let kinds = [("enter", *on_enter), ("exit", *on_exit), ("dwell", dwell.is_some()), ("speed", max_speed_km_per_h.is_some())];
    set("on", kinds.iter().filter(|(_, is_on)| *is_on).map(|(kind, _)| *kind).collect());
    if let Some(dwell) = dwell {
        let millis = u64::try_from(dwell.as_millis()).unwrap_or(u64::MAX);
        set("dwell", Interval::from_millis(millis).to_string().into());
    }
    if let Some(limit) = max_speed_km_per_h {
        set("max_speed_km_per_h", shortest(*limit));
    }
    if !groups.is_empty() {
        set("groups", groups.iter().map(crate::domain::Label::as_str).collect());
    }
    set("severity", severity.code().into());
    if let Shape::Stroke(stroke) = &fence.shape {
        set(if stroke.centre().is_some() { "radius_m" } else { "buffer_m" }, stroke.reach_m().into());
    }
    properties.extend(feature.properties.take().unwrap_or_default());
    Feature {
        id: Some(Id::String(fence.id.as_str().to_owned())),
        geometry: Some(Geometry::new(geometry(&fence.shape))),
        properties: Some(properties),
        ..feature
    }
}

fn geometry(shape: &Shape) -> GeometryValue {
    match shape {
        Shape::Area(area) => {
            let mut polygons: Vec<_> = area.polygons().iter().map(|rings| lines(rings)).collect();
            match polygons.len() {
                1 => GeometryValue::Polygon { coordinates: polygons.remove(0) },
                _ => GeometryValue::MultiPolygon { coordinates: polygons },
            }
        }
        Shape::Stroke(stroke) => stroke_geometry(stroke),
    }
}

fn stroke_geometry(stroke: &Stroke) -> GeometryValue {
    if let Some(centre) = stroke.centre() {
        return GeometryValue::Point { coordinates: position(&centre) };
    }
    let mut lines = lines(stroke.lines());
    match lines.len() {
        1 => GeometryValue::LineString { coordinates: lines.remove(0) },
        _ => GeometryValue::MultiLineString { coordinates: lines },
    }
}

fn lines(lines: &[Vec<Place>]) -> Vec<Vec<Position>> {
    lines.iter().map(|places| places.iter().map(position).collect()).collect()
}

fn position(place: &Place) -> Position {
    [place.longitude, place.latitude].into()
}

/// 30.1 as 30.1, not as the double that is next to the float.
fn shortest(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
