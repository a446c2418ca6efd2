//! Rules on their own, on healthy fleets and on real drives.
