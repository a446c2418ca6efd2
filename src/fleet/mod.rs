//! What the dashboard may ask about the fleet.
