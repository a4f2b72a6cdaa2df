//! The codes by which a connection ends. Numbered so that a client knows
//! without a table whether to come back: 4000-4499 yes, 4500-4999 no.

use std::fmt;

/// Why the gateway ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The gateway stops.
    ShuttingDown,
    /// The token has run out.
    TokenExpired,
    /// Nothing came from the client for too long, not even answers to pings.
    PingTimeout,
    /// As many connections are open as may be.
    OverCapacity,
    /// Something is wrong with the gateway.
    Internal,
    /// The client sent what is no frame.
    BadFrame,
    /// The client may not connect.
    NotAuthorised,
    /// No token came in time.
    NoToken,
    /// The client does not speak `tidegate.v1`.
    UnsupportedSubprotocol,
    /// A newer connection of the same member took its place.
    Replaced,
    /// The token was revoked.
    Revoked,
}

impl CloseCode {
    /// Every code, in order.
    pub const ALL: &'static [CloseCode] = &[
        CloseCode::ShuttingDown,
        CloseCode::TokenExpired,
        CloseCode::PingTimeout,
        CloseCode::OverCapacity,
        CloseCode::Internal,
        CloseCode::BadFrame,
        CloseCode::NotAuthorised,
        CloseCode::NoToken,
        CloseCode::UnsupportedSubprotocol,
        CloseCode::Replaced,
        CloseCode::Revoked,
    ];

    /// The number in the close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            CloseCode::ShuttingDown => 4000,
            CloseCode::TokenExpired => 4001,
            CloseCode::PingTimeout => 4002,
            CloseCode::OverCapacity => 4003,
            CloseCode::Internal => 4004,
            CloseCode::BadFrame => 4500,
            CloseCode::NotAuthorised => 4501,
            CloseCode::NoToken => 4502,
            CloseCode::UnsupportedSubprotocol => 4503,
            CloseCode::Replaced => 4504,
            CloseCode::Revoked => 4505,
        }
    }

    /// The same for programs that read texts: the `reason` of `closing`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            CloseCode::ShuttingDown => "shutting_down",
            CloseCode::TokenExpired => "token_expired",
            CloseCode::PingTimeout => "ping_timeout",
            CloseCode::OverCapacity => "over_capacity",
            CloseCode::Internal => "internal",
            CloseCode::BadFrame => "bad_frame",
            CloseCode::NotAuthorised => "not_authorised",
            CloseCode::NoToken => "no_token",
            CloseCode::UnsupportedSubprotocol => "unsupported_subprotocol",
            CloseCode::Replaced => "replaced",
            CloseCode::Revoked => "revoked",
        }
    }

    /// Whether the client may come back.
    #[must_use]
    pub const fn reconnect(self) -> bool {
        self.number() < 4500
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.reason())
    }
}
