//! Named numbers computed from a window.
