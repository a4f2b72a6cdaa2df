//! Who may do what: what a token says, the rights that it carries, and the
//! decision by them. Pure: keys and the time are passed in.
//!
//! ```text
//! token + Keyring ─ verify ─► Identity
//!                              │ scope ─────────────────┐
//!                              │                        ├─► Rights ─┬─ authorize(ask) ─► Verdict
//!                              └ authorization_details ─┘           └─ explain(ask) ───► why
//! ```
//!
//! There are grants only, no denials: what no grant allows is refused, and one
//! more grant never takes anything away. A grant that is not understood in all
//! its parts grants nothing, since the part may be what narrows it.

mod algorithm;
mod authorize;
mod details;
mod grant;
mod keyring;
mod pattern;
mod rights;
mod scope;
#[cfg(test)]
mod tests;
mod token;
#[cfg(test)]
mod token_tests;

pub use algorithm::{Algorithm, Family};
pub use authorize::{Ask, Reach, Verdict, Why};
pub use grant::Action;
pub use keyring::{KeyConfig, KeyError, KeyMaterial, Keyring};
pub use pattern::{Pattern, PatternError};
pub use rights::{MAX_GRANTED_KEYS, MAX_PATTERNS, Remark, Rights, RightsError};
pub use token::{Identity, TokenConfig, TokenError, verify};
