//! Who was turned away, counted by kind. The ways in say why to the one who is; here it is only counted.

use metrics::counter;

use crate::metrics::REFUSED;

/// Never with the name of whom it met: a label of a metric is no place for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// No certificate, one of an authority that is not ours, or no name and password where one is needed.
    Stranger,
    /// Somebody speaks for a vehicle that it is not.
    StolenId,
    /// A certificate that is not valid any more, or not yet.
    Expired,
    Revoked,
    /// A name that is not known, or a password that is not its own.
    WrongPassword,
    /// A vehicle that has proven who it is and that nobody registered, where only registered ones may send.
    Unregistered,
    /// More messages than a vehicle may send.
    Quota,
    /// More log in at once than passwords can be checked.
    Busy,
    /// A certificate of the wrong kind: a vehicle that wants to be a service, or the other way round.
    WrongKind,
    /// What is no TLS, or was not said in time.
    Handshake,
}

impl Refused {
    pub const ALL: [Self; 10] = [
        Self::Stranger,
        Self::StolenId,
        Self::Expired,
        Self::Revoked,
        Self::WrongPassword,
        Self::Unregistered,
        Self::Quota,
        Self::Busy,
        Self::WrongKind,
        Self::Handshake,
    ];

    /// The value of the label `kind`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::StolenId => "stolen_id",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::WrongPassword => "wrong_password",
            Self::Unregistered => "unregistered",
            Self::Quota => "quota",
            Self::Busy => "busy",
            Self::WrongKind => "wrong_kind",
            Self::Handshake => "handshake",
        }
    }

    pub fn count(self) {
        counter!(REFUSED, "kind" => self.code()).increment(1);
    }
}
