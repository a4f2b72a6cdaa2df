//! Tokens, good and bad, signed with real keys of every family.

use super::{algorithm::Algorithm, authorize::*, keyring::*, token::*};
use crate::domain::{Timestamp, TopicName};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken as jwt;
use serde_json::{Value, json};

const SECRET: &[u8] = &[7; 64];
const RSA: (&[u8], &[u8]) =
    (include_bytes!("test_keys/rsa.pem"), include_bytes!("test_keys/rsa.pub.pem"));
const EC_256: (&[u8], &[u8]) =
    (include_bytes!("test_keys/ec256.pem"), include_bytes!("test_keys/ec256.pub.pem"));
const EC_384: (&[u8], &[u8]) =
    (include_bytes!("test_keys/ec384.pem"), include_bytes!("test_keys/ec384.pub.pem"));
const ED: (&[u8], &[u8]) =
    (include_bytes!("test_keys/ed.pem"), include_bytes!("test_keys/ed.pub.pem"));

/// Seconds since 1970 at which all of this happens.
const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_millis(NOW * 1000)
}

fn material(algorithm: Algorithm) -> (jwt::EncodingKey, KeyMaterial) {
    use Algorithm::*;
    let pem = |pem: &[u8]| KeyMaterial::Pem(pem.to_vec());
    match algorithm {
        Hs256 | Hs384 | Hs512 => {
            (jwt::EncodingKey::from_secret(SECRET), KeyMaterial::Secret(SECRET.to_vec()))
        }
        Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => {
            (jwt::EncodingKey::from_rsa_pem(RSA.0).unwrap(), pem(RSA.1))
        }
        Es256 => (jwt::EncodingKey::from_ec_pem(EC_256.0).unwrap(), pem(EC_256.1)),
        Es384 => (jwt::EncodingKey::from_ec_pem(EC_384.0).unwrap(), pem(EC_384.1)),
        EdDsa => (jwt::EncodingKey::from_ed_pem(ED.0).unwrap(), pem(ED.1)),
    }
}

fn key(algorithm: Algorithm) -> KeyConfig {
    let material = material(algorithm).1;
    KeyConfig { algorithms: vec![algorithm], id: None, issuer: None, material }
}

fn ring(keys: &[KeyConfig]) -> Keyring {
    Keyring::new(keys).unwrap()
}

/// A token with the header changed, signed all the same.
fn signed(algorithm: Algorithm, claims: &Value, change: impl FnOnce(&mut jwt::Header)) -> String {
    let mut header = jwt::Header::new(algorithm.in_library());
    change(&mut header);
    jwt::encode(&header, claims, &material(algorithm).0).unwrap()
}

fn good() -> Value {
    json!({"sub": "alice", "exp": NOW + 60, "scope": "read:orders"})
}

fn with(more: Value) -> Value {
    let mut claims = good();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// By a secret, under these settings.
fn read(claims: &Value, config: &TokenConfig) -> Result<Identity, TokenError> {
    let token = signed(Algorithm::Hs256, claims, |_| {});
    verify(&token, &ring(&[key(Algorithm::Hs256)]), config, now())
}

fn plain(claims: &Value) -> Result<Identity, TokenError> {
    read(claims, &TokenConfig::default())
}

#[test]
fn a_token_of_every_algorithm_says_who_it_is_and_what_they_may() {
    for algorithm in Algorithm::ALL {
        let token = signed(algorithm, &with(json!({"jti": "t-1"})), |_| {});
        let keys = ring(&[key(algorithm)]);
        let identity = verify(&token, &keys, &TokenConfig::default(), now());
        let identity = identity.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(identity.principal.name(), Some("alice"));
        assert_eq!(identity.expires, Timestamp::from_millis((NOW + 60) * 1000));
        assert_eq!(identity.token_id.as_deref(), Some("t-1"));
        let orders = TopicName::new("orders").unwrap();
        assert_eq!(identity.rights.authorize(Ask::Read(&orders)), Verdict::Allowed(Reach::Whole));
    }
}

#[test]
fn a_key_is_used_for_its_own_algorithms_alone() {
    for signer in Algorithm::ALL {
        let token = signed(signer, &good(), |_| {});
        for other in Algorithm::ALL.into_iter().filter(|other| *other != signer) {
            let refused = verify(&token, &ring(&[key(other)]), &TokenConfig::default(), now());
            let wanted = TokenError::AlgorithmNotAllowed(signer.name().to_owned());
            assert_eq!(refused, Err(wanted), "{signer} by a key for {other}");
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // The old trick: the public key, which everybody has, as the secret of HMAC.
    let claims = good();
    let header = jwt::Header::new(jwt::Algorithm::HS256);
    let token = jwt::encode(&header, &claims, &jwt::EncodingKey::from_secret(RSA.1)).unwrap();
    let rsa = ring(&[key(Algorithm::Rs256)]);
    let refused = verify(&token, &rsa, &TokenConfig::default(), now());
    assert_eq!(refused, Err(TokenError::AlgorithmNotAllowed("HS256".to_owned())));
    let both = ring(&[key(Algorithm::Rs256), key(Algorithm::Hs256)]);
    let refused = verify(&token, &both, &TokenConfig::default(), now());
    assert_eq!(refused, Err(TokenError::BadSignature));
}

#[test]
fn unsigned_and_tampered_tokens_are_refused() {
    let keys = ring(&[key(Algorithm::Hs256)]);
    let look = |token: &str| verify(token, &keys, &TokenConfig::default(), now()).unwrap_err();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "NONE", "hs256", ""] {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", part(&json!({"alg": alg})), part(&good()));
            assert!(matches!(look(&token), TokenError::Malformed(_)), "{alg} {signature}");
        }
    }
    let token = signed(Algorithm::Hs256, &good(), |_| {});
    let parts: Vec<&str> = token.split('.').collect();
    let other = part(&with(json!({"scope": "admin"})));
    assert_eq!(look(&format!("{}.{other}.{}", parts[0], parts[2])), TokenError::BadSignature);
    assert_eq!(look(&format!("{}.{}.", parts[0], parts[1])), TokenError::BadSignature);
    for text in ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", &token[1..], &format!("{token}.x")] {
        assert!(matches!(look(text), TokenError::Malformed(_)), "{text}");
    }
    let long = format!("{token}{}", "a".repeat(9_000));
    assert!(matches!(look(&long), TokenError::TooLarge { max: 8192, .. }));
}

#[test]
fn a_header_that_wants_more_is_refused() {
    let refused = |change: fn(&mut jwt::Header)| {
        let token = signed(Algorithm::Hs256, &good(), change);
        verify(&token, &ring(&[key(Algorithm::Hs256)]), &TokenConfig::default(), now())
    };
    let crit = |header: &mut jwt::Header| header.crit = Some(vec!["b64".to_owned()]);
    assert_eq!(refused(crit), Err(TokenError::Header("crit")));
    let typ = |header: &mut jwt::Header| header.typ = Some("logout+jwt".to_owned());
    assert_eq!(refused(typ), Err(TokenError::Header("typ")));
    for typ in [None, Some("jwt"), Some("at+jwt"), Some("application/at+JWT")] {
        let token = signed(Algorithm::Hs256, &good(), |h| h.typ = typ.map(ToOwned::to_owned));
        let keys = ring(&[key(Algorithm::Hs256)]);
        assert!(verify(&token, &keys, &TokenConfig::default(), now()).is_ok(), "{typ:?}");
    }
    // Keys and addresses that a token brings along are not looked at.
    let brought = |header: &mut jwt::Header| {
        header.jku = Some("https://evil.example/keys".to_owned());
        header.kid = Some("../../etc/passwd".to_owned());
    };
    assert!(refused(brought).is_ok(), "a key without an id is for every kid");
}

#[test]
fn a_kid_chooses_among_keys_that_have_one() {
    let named = |id: &str, secret: u8| KeyConfig {
        algorithms: vec![Algorithm::Hs256],
        id: Some(id.to_owned()),
        issuer: None,
        material: KeyMaterial::Secret(vec![secret; 64]),
    };
    let keys = ring(&[named("old", 1), named("new", 7)]);
    let by = |kid: Option<&str>| {
        let kid = kid.map(ToOwned::to_owned);
        let token = signed(Algorithm::Hs256, &good(), |h| h.kid = kid);
        verify(&token, &keys, &TokenConfig::default(), now()).map(drop)
    };
    assert_eq!(by(Some("new")), Ok(()));
    assert_eq!(by(Some("old")), Err(TokenError::BadSignature));
    assert_eq!(by(Some("newer")), Err(TokenError::KeyUnknown));
    assert_eq!(by(Some("new' OR '1'='1")), Err(TokenError::KeyUnknown));
    assert_eq!(by(None), Ok(()), "without one all are tried");
}

#[test]
fn a_token_is_good_within_its_time() {
    let config = TokenConfig::default();
    assert_eq!(plain(&with(json!({"exp": null}))), Err(TokenError::Missing("exp")));
    let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    assert_eq!(plain(&with(json!({"exp": NOW - 5}))), Err(TokenError::Expired(at(NOW - 5))));
    assert!(plain(&with(json!({"exp": NOW - 4}))).is_ok(), "within the leeway");
    let early = with(json!({"nbf": NOW + 6}));
    assert_eq!(plain(&early), Err(TokenError::NotYetValid(at(NOW + 6))));
    assert!(plain(&with(json!({"nbf": NOW + 5}))).is_ok(), "within the leeway");
    let most = NOW + config.max_lifetime.as_secs() as i64;
    assert!(plain(&with(json!({"exp": most}))).is_ok());
    assert_eq!(plain(&with(json!({"exp": most + 6}))), Err(TokenError::TooLong(at(most + 6))));
    assert!(matches!(plain(&with(json!({"exp": 1e300}))), Err(TokenError::TooLong(_))));
    assert!(plain(&with(json!({"exp": NOW as f64 + 1.5}))).is_ok());
    for exp in [json!("1900000000"), json!([1]), json!(true)] {
        let refused = plain(&with(json!({"exp": exp})));
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "{exp}: {refused:?}");
    }
}

#[test]
fn issuer_and_audience_are_checked_where_they_are_set() {
    let config = TokenConfig {
        issuers: vec!["https://a".to_owned(), "https://b".to_owned()],
        audiences: vec!["tidegate".to_owned()],
        ..TokenConfig::default()
    };
    let table = [
        (json!({"iss": "https://a", "aud": "tidegate"}), Ok(())),
        (json!({"iss": "https://b", "aud": ["x", "tidegate"]}), Ok(())),
        (json!({"iss": "https://c", "aud": "tidegate"}), Err(TokenError::WrongIssuer)),
        (json!({"iss": "https://a/", "aud": "tidegate"}), Err(TokenError::WrongIssuer)),
        (json!({"aud": "tidegate"}), Err(TokenError::WrongIssuer)),
        (json!({"iss": "https://a", "aud": "other"}), Err(TokenError::WrongAudience)),
        (json!({"iss": "https://a", "aud": []}), Err(TokenError::WrongAudience)),
        (json!({"iss": "https://a"}), Err(TokenError::WrongAudience)),
    ];
    for (claims, wanted) in table {
        assert_eq!(read(&with(claims.clone()), &config).map(drop), wanted, "{claims}");
    }
}

#[test]
fn a_key_of_one_issuer_signs_for_no_other() {
    let bound = KeyConfig { issuer: Some("https://a".to_owned()), ..key(Algorithm::Es256) };
    let by = |claims: Value| {
        let token = signed(Algorithm::Es256, &with(claims), |_| {});
        let identity =
            verify(&token, &ring(std::slice::from_ref(&bound)), &TokenConfig::default(), now());
        identity.map(|identity| identity.principal.to_string())
    };
    assert_eq!(by(json!({"iss": "https://a"})), Ok("https://a#alice".to_owned()));
    assert_eq!(by(json!({"iss": "https://b"})), Err(TokenError::WrongIssuer));
    assert_eq!(by(json!({})), Err(TokenError::WrongIssuer));
}

#[test]
fn who_it_is_cannot_be_left_out_or_made_up() {
    for sub in [json!(null), json!("")] {
        assert_eq!(plain(&with(json!({"sub": sub}))), Err(TokenError::Missing("sub")));
    }
    let strange =
        [json!({"sub": 7}), json!({"sub": "a".repeat(256)}), json!({"iss": "https://a#b"})];
    for claims in strange {
        assert!(matches!(plain(&with(claims.clone())), Err(TokenError::Malformed(_))), "{claims}");
    }
}

#[test]
fn scopes_may_stand_in_scp() {
    let topic = TopicName::new("orders").unwrap();
    let allows = |claims: Value| {
        plain(&with(claims)).unwrap().rights.authorize(Ask::Publish(&topic)) != Verdict::Refused
    };
    assert!(allows(json!({"scope": null, "scp": ["openid", "publish:orders"]})));
    assert!(allows(json!({"scope": null, "scp": "publish:orders"})));
    assert!(!allows(json!({"scp": "publish:orders"})), "scope comes first");
    let many: String = (0..1_001).map(|i| format!("read:t{i} ")).collect();
    let config = TokenConfig { max_bytes: 1 << 20, ..TokenConfig::default() };
    assert!(matches!(read(&with(json!({"scope": many})), &config), Err(TokenError::Rights(_))));
}

#[test]
fn keys_are_what_their_settings_say() {
    use Algorithm::*;
    let config = |algorithms: &[Algorithm], material: KeyMaterial| KeyConfig {
        algorithms: algorithms.to_vec(),
        id: None,
        issuer: None,
        material,
    };
    let error = |config: KeyConfig| Keyring::new(&[config]).unwrap_err();
    let (secret, pem) = (|n| KeyMaterial::Secret(vec![1; n]), KeyMaterial::Pem(RSA.1.to_vec()));
    assert_eq!(error(config(&[], secret(64))), KeyError::NoAlgorithm);
    assert_eq!(error(config(&[Rs256, Hs256], pem.clone())), KeyError::Families(Rs256, Hs256));
    let short = error(config(&[Hs256, Hs512], secret(63)));
    assert_eq!(short, KeyError::ShortSecret { algorithm: Hs512, least: 64, got: 63 });
    assert!(matches!(error(config(&[Hs256], pem.clone())), KeyError::WrongKind(Hs256, _)));
    assert!(matches!(error(config(&[Es256], secret(64))), KeyError::WrongKind(Es256, _)));
    assert!(matches!(error(config(&[Es256], pem)), KeyError::Unreadable(Es256, _)));
    let shown = format!("{:?} {:?}", key(Hs256), ring(&[key(Hs256)]));
    assert!(!shown.contains('7'), "{shown}");
}
