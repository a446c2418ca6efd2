//! The journal as its users see it, on real files and on a simulated disk.

mod backup;
mod checkpoints;
mod damage;
mod faults;
mod power_cut;
mod round_trip;
mod support;
