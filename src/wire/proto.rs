//! What `build.rs` generates from `proto/`.

#![expect(clippy::pedantic, reason = "generated code")]

pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/odograph.v1.rs"));
}

pub mod journal {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/odograph.journal.v1.rs"));
    }
}

pub mod live {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/odograph.live.v1.rs"));
    }
}
