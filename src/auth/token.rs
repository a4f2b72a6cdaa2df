//! From a token to who it is and what they may do. The time is passed in.
//!
//! ```text
//! size ─► header (alg, kid, typ, crit) ─► keys that may have signed it ─► signature
//!      ─► exp, nbf, lifetime ─► iss, aud ─► sub ─► rights
//! ```

use super::{
    algorithm::Algorithm,
    keyring::{Key, Keyring},
    rights::{Rights, RightsError},
};
use crate::domain::{Principal, Timestamp};
use jsonwebtoken as jwt;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::HashSet, time::Duration};

/// A subject, an issuer, a token's id: bytes at most. They are kept and logged.
const MAX_NAME_BYTES: usize = 255;

/// What tokens have to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// A token's text, bytes at most.
    pub max_bytes: usize,
    /// Who may issue tokens; empty: whoever has a key.
    pub issuers: Vec<String>,
    /// For whom they may be, one of them being enough; empty: it is not looked at.
    pub audiences: Vec<String>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// How far in the future a token may end.
    pub max_lifetime: Duration,
}

impl Default for TokenConfig {
    fn default() -> Self {
        TokenConfig {
            max_bytes: 8 << 10,
            issuers: vec![],
            audiences: vec![],
            leeway: Duration::from_secs(5),
            max_lifetime: Duration::from_secs(24 * 3600),
        }
    }
}

/// Why a token was refused. What of it is told to whom is decided elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any is.
    #[error("the token has {got} bytes, at most {max} are allowed")]
    TooLarge {
        /// The bytes it has.
        got: usize,
        /// The bytes it may have.
        max: usize,
    },
    /// No token at all.
    #[error("this is no signed token: {0}")]
    Malformed(String),
    /// It wants something of its reader that is not understood.
    #[error("the token's header has '{0}', which is not understood")]
    Header(&'static str),
    /// No key is for this way to sign.
    #[error("no key is for tokens signed with {0}")]
    AlgorithmNotAllowed(String),
    /// No key has its `kid`.
    #[error("no key has the token's kid")]
    KeyUnknown,
    /// None of the keys made it.
    #[error("the token was not signed with a key that is known here")]
    BadSignature,
    /// It is over.
    #[error("the token ended at {0}")]
    Expired(Timestamp),
    /// It has not begun.
    #[error("the token is not valid before {0}")]
    NotYetValid(Timestamp),
    /// It ends too far in the future.
    #[error("the token ends at {0}, later than tokens may")]
    TooLong(Timestamp),
    /// Something that has to be in it is not.
    #[error("the token has no '{0}'")]
    Missing(&'static str),
    /// Its issuer is not one of those that may.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// It names too much.
    #[error(transparent)]
    Rights(#[from] RightsError),
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who: the token's `sub`, behind its `iss` and `#` where it has one: two
    /// issuers may call different people the same.
    pub principal: Principal,
    /// What they may do.
    pub rights: Rights,
    /// Until when.
    pub expires: Timestamp,
    /// The token's own name, `jti`, by which it can be revoked.
    pub token_id: Option<String>,
}

/// A moment in a token: seconds since 1970, perhaps with a fraction.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
struct Seconds(f64);

impl Seconds {
    fn timestamp(self) -> Timestamp {
        // Saturates; what is far away stays far away.
        Timestamp::from_millis((self.0 * 1000.0) as i64)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn iter(&self) -> std::slice::Iter<'_, String> {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one).iter(),
            OneOrMany::Many(many) => many.iter(),
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<Seconds>,
    nbf: Option<Seconds>,
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMany>,
    jti: Option<String>,
    scope: Option<String>,
    /// What some issuers write instead of `scope`.
    scp: Option<OneOrMany>,
    authorization_details: Option<Value>,
}

/// Reads a token and checks it.
///
/// # Errors
/// Says what is wrong with it first, in the order of the module's picture.
pub fn verify(
    token: &str,
    keys: &Keyring,
    config: &TokenConfig,
    now: Timestamp,
) -> Result<Identity, TokenError> {
    if token.len() > config.max_bytes {
        return Err(TokenError::TooLarge { got: token.len(), max: config.max_bytes });
    }
    let header = header(token)?;
    let algorithm = Algorithm::of_library(header.alg).filter(|own| keys.knows(*own));
    let Some(algorithm) = algorithm else {
        return Err(TokenError::AlgorithmNotAllowed(format!("{:?}", header.alg)));
    };
    let mut refused = TokenError::KeyUnknown;
    for key in keys.candidates(algorithm, header.kid.as_deref()) {
        match signed_by(key, token, algorithm) {
            Ok(claims) => return checked(claims, key, config, now),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn header(token: &str) -> Result<jwt::Header, TokenError> {
    if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return Err(TokenError::Malformed("it has not three parts between dots".to_owned()));
    }
    let header = jwt::decode_header(token).map_err(|error| malformed(&error))?;
    let plain = |typ: &str| {
        let typ = typ.to_ascii_lowercase();
        matches!(typ.trim_start_matches("application/"), "jwt" | "at+jwt")
    };
    match &header {
        jwt::Header { crit: Some(_), .. } => Err(TokenError::Header("crit")),
        jwt::Header { zip: Some(_), .. } => Err(TokenError::Header("zip")),
        jwt::Header { enc: Some(_), .. } => Err(TokenError::Header("enc")),
        // A token for another purpose, such as a notice of log-out.
        jwt::Header { typ: Some(typ), .. } if !plain(typ) => Err(TokenError::Header("typ")),
        _ => Ok(header),
    }
}

fn malformed(error: &jwt::errors::Error) -> TokenError {
    TokenError::Malformed(error.to_string())
}

fn signed_by(key: &Key, token: &str, algorithm: Algorithm) -> Result<Claims, TokenError> {
    // Times and names are checked here, by our own clock.
    let mut validation = jwt::Validation::new(algorithm.in_library());
    validation.required_spec_claims = HashSet::new();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    match jwt::decode::<Claims>(token, &key.decoding, &validation) {
        Ok(decoded) => Ok(decoded.claims),
        Err(error) => Err(match error.kind() {
            jwt::errors::ErrorKind::Json(_)
            | jwt::errors::ErrorKind::Base64(_)
            | jwt::errors::ErrorKind::Utf8(_) => malformed(&error),
            _ => TokenError::BadSignature,
        }),
    }
}

fn checked(
    claims: Claims,
    key: &Key,
    config: &TokenConfig,
    now: Timestamp,
) -> Result<Identity, TokenError> {
    let expires = claims.exp.ok_or(TokenError::Missing("exp"))?.timestamp();
    if expires.plus(config.leeway) <= now {
        return Err(TokenError::Expired(expires));
    }
    if let Some(begins) = claims.nbf.map(Seconds::timestamp)
        && begins > now.plus(config.leeway)
    {
        return Err(TokenError::NotYetValid(begins));
    }
    if expires > now.plus(config.max_lifetime).plus(config.leeway) {
        return Err(TokenError::TooLong(expires));
    }
    let issuer = short("iss", claims.iss)?;
    let bound = key.issuer.as_ref().is_none_or(|of| issuer.as_ref() == Some(of));
    let listed = config.issuers.is_empty()
        || issuer.as_ref().is_some_and(|issuer| config.issuers.contains(issuer));
    if !bound || !listed {
        return Err(TokenError::WrongIssuer);
    }
    let meant = |aud: &OneOrMany| aud.iter().any(|one| config.audiences.contains(one));
    if !config.audiences.is_empty() && !claims.aud.as_ref().is_some_and(meant) {
        return Err(TokenError::WrongAudience);
    }
    let subject = short("sub", claims.sub)?.filter(|sub| !sub.is_empty());
    let subject = subject.ok_or(TokenError::Missing("sub"))?;
    let scp = claims.scp.map(|scp| scp.iter().cloned().collect::<Vec<_>>().join(" "));
    let scope = claims.scope.or(scp);
    Ok(Identity {
        principal: principal(issuer.as_deref(), &subject)?,
        rights: Rights::of(scope.as_deref(), claims.authorization_details.as_ref())?,
        expires,
        token_id: short("jti", claims.jti)?,
    })
}

/// An issuer is a URL without a fragment, so the first `#` is the one between.
fn principal(issuer: Option<&str>, subject: &str) -> Result<Principal, TokenError> {
    match issuer {
        Some(issuer) if issuer.contains('#') => {
            Err(TokenError::Malformed("'iss' holds '#'".to_owned()))
        }
        Some(issuer) => Ok(Principal::named(&format!("{issuer}#{subject}"))),
        None => Ok(Principal::named(subject)),
    }
}

fn short(what: &str, text: Option<String>) -> Result<Option<String>, TokenError> {
    match text {
        Some(text) if text.len() > MAX_NAME_BYTES => {
            let told = format!("'{what}' has more than {MAX_NAME_BYTES} bytes");
            Err(TokenError::Malformed(told))
        }
        text => Ok(text),
    }
}
