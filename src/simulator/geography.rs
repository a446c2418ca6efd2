//! Where the fleet lives: the country around Karlsruhe, roughly. Places and main roads are real to a kilometre or so, streets are invented
//! by seed (`roads`).

pub const CITY: &str = "Karlsruhe";
/// The palace of Karlsruhe, from where its streets spread like a fan.
pub const CENTRE: (f64, f64) = (49.0135, 8.4044);

/// Radii of the city's ring streets and their limits.
pub const RINGS: [(f64, f32); 3] = [(900.0, 30.0), (2_200.0, 50.0), (4_200.0, 70.0)];
/// Streets of the fan.
pub const RADIALS: usize = 12;

pub struct Town {
    pub name: &'static str,
    pub latitude: f64,
    pub longitude: f64,
    /// Half of the width of its street grid.
    pub radius_m: f64,
}

const fn town(name: &'static str, latitude: f64, longitude: f64, radius_m: f64) -> Town {
    Town { name, latitude, longitude, radius_m }
}

pub const TOWNS: &[Town] = &[
    town("Durlach", 48.9990, 8.4730, 900.0),
    town("Ettlingen", 48.9410, 8.4080, 1_100.0),
    town("Bruchsal", 49.1240, 8.5980, 1_200.0),
    town("Bretten", 49.0360, 8.7070, 900.0),
    town("Pforzheim", 48.8920, 8.6980, 1_800.0),
    town("Rastatt", 48.8580, 8.2040, 1_200.0),
    town("Baden-Baden", 48.7620, 8.2400, 1_200.0),
    town("Wörth", 49.0520, 8.2600, 800.0),
    town("Kandel", 49.0830, 8.1960, 600.0),
    town("Landau", 49.1990, 8.1180, 1_300.0),
    town("Germersheim", 49.2230, 8.3640, 900.0),
    town("Stutensee", 49.0660, 8.4850, 900.0),
];

/// A junction of motorways or federal roads, and the name of the town or city gate it serves, if any.
pub struct Junction {
    pub name: &'static str,
    pub latitude: f64,
    pub longitude: f64,
}

const fn junction(name: &'static str, latitude: f64, longitude: f64) -> Junction {
    Junction { name, latitude, longitude }
}

pub const JUNCTIONS: &[Junction] = &[
    junction("Bruchsal A5", 49.1280, 8.5650),
    junction("Karlsruhe-Nord A5", 49.0380, 8.4720),
    junction("Durlach A5", 49.0010, 8.4540),
    junction("Karlsruhe-Mitte A5", 48.9830, 8.4330),
    junction("Dreieck Karlsruhe", 48.9640, 8.4420),
    junction("Ettlingen A5", 48.9470, 8.3850),
    junction("Rastatt A5", 48.8660, 8.2350),
    junction("Baden-Baden A5", 48.7860, 8.1750),
    junction("Karlsbad A8", 48.9290, 8.5270),
    junction("Pforzheim-West A8", 48.9130, 8.6400),
    junction("Pforzheim-Ost A8", 48.9000, 8.7560),
    junction("Rhine bridge", 49.0360, 8.3030),
    junction("Wörth A65", 49.0600, 8.2760),
    junction("Kandel A65", 49.0910, 8.2120),
    junction("Landau A65", 49.1960, 8.1430),
    junction("Germersheim B35", 49.2180, 8.3850),
];

/// Stretches of wide road between junctions, with their limits in km/h.
pub const MOTORWAYS: &[(&str, &str, f32)] = &[
    ("Bruchsal A5", "Karlsruhe-Nord A5", 130.0),
    ("Karlsruhe-Nord A5", "Durlach A5", 120.0),
    ("Durlach A5", "Karlsruhe-Mitte A5", 120.0),
    ("Karlsruhe-Mitte A5", "Dreieck Karlsruhe", 120.0),
    ("Dreieck Karlsruhe", "Ettlingen A5", 120.0),
    ("Ettlingen A5", "Rastatt A5", 130.0),
    ("Rastatt A5", "Baden-Baden A5", 130.0),
    ("Dreieck Karlsruhe", "Karlsbad A8", 120.0),
    ("Karlsbad A8", "Pforzheim-West A8", 130.0),
    ("Pforzheim-West A8", "Pforzheim-Ost A8", 100.0),
    ("Rhine bridge", "Wörth A65", 100.0),
    ("Wörth A65", "Kandel A65", 130.0),
    ("Kandel A65", "Landau A65", 130.0),
    ("Germersheim B35", "Bruchsal A5", 100.0),
];

/// Country roads between places; both are names of towns.
pub const COUNTRY_ROADS: &[(&str, &str)] = &[
    ("Durlach", "Stutensee"),
    ("Stutensee", "Bruchsal"),
    ("Bruchsal", "Bretten"),
    ("Bretten", "Pforzheim"),
    ("Durlach", "Bretten"),
    ("Ettlingen", "Rastatt"),
    ("Ettlingen", "Pforzheim"),
    ("Rastatt", "Baden-Baden"),
    ("Rastatt", "Wörth"),
    ("Wörth", "Kandel"),
    ("Kandel", "Landau"),
    ("Landau", "Germersheim"),
    ("Germersheim", "Wörth"),
    ("Germersheim", "Stutensee"),
    ("Durlach", "Ettlingen"),
];
