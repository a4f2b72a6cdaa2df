//! The keys that tokens may be signed with: each for the algorithms that its
//! settings name and, where they say so, for one issuer alone.

use super::algorithm::{Algorithm, Family};
use jsonwebtoken as jwt;
use std::fmt;

/// What a key is made of.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A secret, as it is.
    Secret(Vec<u8>),
    /// A public key in PEM (`BEGIN PUBLIC KEY`).
    Pem(Vec<u8>),
}

/// Never shown: a secret signs tokens.
impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyMaterial::Secret(_) => "Secret(set)",
            KeyMaterial::Pem(_) => "Pem(set)",
        })
    }
}

/// A key as the settings have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// What signs with it; all of one family.
    pub algorithms: Vec<Algorithm>,
    /// Its `kid`; with `None` it is tried for tokens of every `kid`.
    pub id: Option<String>,
    /// Whose tokens it is for; with `None` anybody's.
    pub issuer: Option<String>,
    /// What it is made of.
    pub material: KeyMaterial,
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No algorithm was named for it.
    #[error("the key names no algorithm: say which it is for, such as ES256")]
    NoAlgorithm,
    /// Algorithms of different families.
    #[error("{0} and {1} take different kinds of keys: give each a key of its own")]
    Families(Algorithm, Algorithm),
    /// A secret that can be guessed.
    #[error("a secret for {algorithm} has at least {least} bytes, this one has {got}")]
    ShortSecret {
        /// The algorithm.
        algorithm: Algorithm,
        /// The bytes it has to have.
        least: usize,
        /// The bytes it has.
        got: usize,
    },
    /// A secret where a public key belongs, or the other way round.
    #[error("{0} takes {1}")]
    WrongKind(Algorithm, &'static str),
    /// A public key that is none.
    #[error("this is no public key for {0} in PEM: {1}")]
    Unreadable(Algorithm, String),
}

/// A key that is ready.
pub(super) struct Key {
    pub algorithms: Vec<Algorithm>,
    pub id: Option<String>,
    pub issuer: Option<String>,
    pub decoding: jwt::DecodingKey,
}

/// All keys.
pub struct Keyring(Vec<Key>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().map(|key| (&key.algorithms, &key.id, &key.issuer));
        f.debug_list().entries(all).finish()
    }
}

impl Keyring {
    /// Takes the keys.
    ///
    /// # Errors
    /// When one of them cannot be what its settings say.
    pub fn new(keys: &[KeyConfig]) -> Result<Keyring, KeyError> {
        Ok(Keyring(keys.iter().map(Key::new).collect::<Result<_, _>>()?))
    }

    /// Whether any key takes tokens that are signed so.
    pub(super) fn knows(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|key| key.algorithms.contains(&algorithm))
    }

    /// The keys that may have signed a token with this header.
    pub(super) fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        id: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Key> {
        let named = move |key: &Key| match (&key.id, id) {
            (Some(has), Some(wanted)) => has == wanted,
            _ => true,
        };
        self.0.iter().filter(move |key| key.algorithms.contains(&algorithm) && named(key))
    }
}

impl Key {
    fn new(config: &KeyConfig) -> Result<Key, KeyError> {
        let KeyConfig { algorithms, id, issuer, material } = config;
        let Some(first) = algorithms.first().copied() else { return Err(KeyError::NoAlgorithm) };
        if let Some(other) = algorithms.iter().find(|a| a.family() != first.family()) {
            return Err(KeyError::Families(first, *other));
        }
        let unreadable = |e: jwt::errors::Error| KeyError::Unreadable(first, e.to_string());
        let decoding = match (first.family(), material) {
            (Family::Hmac, KeyMaterial::Secret(secret)) => {
                long_enough(algorithms, secret)?;
                jwt::DecodingKey::from_secret(secret)
            }
            (Family::Rsa, KeyMaterial::Pem(pem)) => {
                jwt::DecodingKey::from_rsa_pem(pem).map_err(unreadable)?
            }
            (Family::Ec, KeyMaterial::Pem(pem)) => {
                jwt::DecodingKey::from_ec_pem(pem).map_err(unreadable)?
            }
            (Family::Ed, KeyMaterial::Pem(pem)) => {
                jwt::DecodingKey::from_ed_pem(pem).map_err(unreadable)?
            }
            (Family::Hmac, KeyMaterial::Pem(_)) => {
                return Err(KeyError::WrongKind(first, "a secret, not a public key"));
            }
            (_, KeyMaterial::Secret(_)) => {
                return Err(KeyError::WrongKind(first, "a public key, not a secret"));
            }
        };
        let (algorithms, id, issuer) = (algorithms.clone(), id.clone(), issuer.clone());
        Ok(Key { algorithms, id, issuer, decoding })
    }
}

fn long_enough(algorithms: &[Algorithm], secret: &[u8]) -> Result<(), KeyError> {
    match algorithms.iter().find(|algorithm| secret.len() < algorithm.least_secret()) {
        Some(algorithm) => Err(KeyError::ShortSecret {
            algorithm: *algorithm,
            least: algorithm.least_secret(),
            got: secret.len(),
        }),
        None => Ok(()),
    }
}

impl Algorithm {
    pub(super) fn of_library(algorithm: jwt::Algorithm) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|own| own.in_library() == algorithm)
    }

    pub(super) fn in_library(self) -> jwt::Algorithm {
        match self {
            Algorithm::Hs256 => jwt::Algorithm::HS256,
            Algorithm::Hs384 => jwt::Algorithm::HS384,
            Algorithm::Hs512 => jwt::Algorithm::HS512,
            Algorithm::Rs256 => jwt::Algorithm::RS256,
            Algorithm::Rs384 => jwt::Algorithm::RS384,
            Algorithm::Rs512 => jwt::Algorithm::RS512,
            Algorithm::Ps256 => jwt::Algorithm::PS256,
            Algorithm::Ps384 => jwt::Algorithm::PS384,
            Algorithm::Ps512 => jwt::Algorithm::PS512,
            Algorithm::Es256 => jwt::Algorithm::ES256,
            Algorithm::Es384 => jwt::Algorithm::ES384,
            Algorithm::EdDsa => jwt::Algorithm::EdDSA,
        }
    }
}
