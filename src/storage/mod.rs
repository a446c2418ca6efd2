//! Long-term storage of readings and quarantined messages.
