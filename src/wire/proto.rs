//! What `build.rs` generates from `proto/`.

#![expect(clippy::pedantic, clippy::allow_attributes_without_reason, clippy::large_enum_variant, reason = "generated code")]

pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/odograph.v1.rs"));
}

pub mod journal {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/odograph.journal.v1.rs"));
    }
}

pub mod link {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/odograph.link.v1.rs"));
    }
}

pub mod mirror {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/odograph.mirror.v1.rs"));
    }
}
