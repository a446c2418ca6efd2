//! HTTP: the API, health, metrics and the page.
