//! The durable hand-off on local disk, the only place where "accepted" becomes true: segments, group commit, cursors, checkpoints.
