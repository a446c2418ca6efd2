//! The ways in: front door, subscriber, uplinks; decoding, receipts, quarantine.
