//! Names that clients choose, checked once where they enter.

use super::limits;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no characters.
    #[error("the name is empty")]
    Empty,
    /// The name is too long.
    #[error("the name has {got} characters, at most {max} are allowed")]
    TooLong {
        /// How long it is, in bytes.
        got: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// A character outside the allowed set.
    #[error("the name holds {0:?}; allowed are letters, digits, '.', '_' and '-'")]
    BadCharacter(char),
    /// `.` and `..` cannot be names.
    #[error("the name may not be '.' or '..'")]
    Dots,
    /// A control character or a space at an edge of an idempotency key.
    #[error("the key holds {0:?}; printable ASCII is allowed")]
    NotPrintable(char),
}

/// Kafka's rule for topic names, kept for groups too and on every engine, so
/// that what works on one node works in front of a cluster.
fn kafka_name(name: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Dots),
        _ if name.len() > limits::MAX_NAME_BYTES => {
            Err(NameError::TooLong { got: name.len(), max: limits::MAX_NAME_BYTES })
        }
        _ => {
            name.chars().find(|c| !allowed(*c)).map_or(Ok(()), |c| Err(NameError::BadCharacter(c)))
        }
    }
}

fn printable_key(key: &str) -> Result<(), NameError> {
    if key.is_empty() {
        return Err(NameError::Empty);
    }
    if key.len() > limits::MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(NameError::TooLong { got: key.len(), max: limits::MAX_IDEMPOTENCY_KEY_BYTES });
    }
    key.chars()
        .find(|c| !c.is_ascii_graphic() && *c != ' ')
        .map_or(Ok(()), |c| Err(NameError::NotPrintable(c)))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name. Errors say what is wrong with it.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                $check(name.as_ref())?;
                Ok(Self(Arc::from(name.as_ref())))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A topic's name: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`.
    TopicName, kafka_name
}
name! {
    /// A consumer group's name, by the rule of topic names.
    GroupName, kafka_name
}
name! {
    /// What a member of a group calls itself, across its connections, by the
    /// rule of topic names.
    MemberId, kafka_name
}
name! {
    /// What a publisher calls one request, so that a repeat of it is known as
    /// such: 1 to 255 printable ASCII characters.
    IdempotencyKey, printable_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_rule_holds_for_topics() {
        for good in ["a", "orders.eu-1_x", &"x".repeat(249)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        assert_eq!(TopicName::new(""), Err(NameError::Empty));
        assert_eq!(TopicName::new(".."), Err(NameError::Dots));
        assert_eq!(TopicName::new("a b"), Err(NameError::BadCharacter(' ')));
        assert_eq!(TopicName::new("ä"), Err(NameError::BadCharacter('ä')));
        assert!(matches!(
            TopicName::new("x".repeat(250)),
            Err(NameError::TooLong { got: 250, max: 249 })
        ));
    }

    #[test]
    fn an_idempotency_key_is_printable_ascii() {
        assert!(IdempotencyKey::new("order 17/pay").is_ok());
        assert_eq!(IdempotencyKey::new("a\n"), Err(NameError::NotPrintable('\n')));
        assert!(IdempotencyKey::new("k".repeat(256)).is_err());
    }
}
