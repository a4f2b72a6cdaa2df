//! Grants of an `authorization_details` claim (RFC 9396): objects of the type
//! `tidegate`, each with `actions`, `topics`, `groups` and `keys`.
//!
//! Objects of other types are others' and are passed over. In one of ours every
//! member has to be understood: what is not might narrow it (`locations` does).

use super::{
    grant::{Action, Grant, Keys},
    pattern::Pattern,
    rights::Remark,
};
use crate::domain::limits::MAX_KEY_BYTES;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// The type of our objects.
const TYPE: &str = "tidegate";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    #[serde(rename = "type")]
    _type: String,
    actions: Vec<String>,
    topics: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    keys: Option<Vec<String>>,
    keys_base64: Option<Vec<String>>,
}

/// The grants of the claim, and what was not understood of it.
pub(super) fn grants(claim: &Value) -> (Vec<Grant>, Vec<Remark>) {
    let (mut grants, mut remarks) = (vec![], vec![]);
    let Value::Array(objects) = claim else {
        let why = "it is not an array".to_owned();
        return (grants, vec![Remark::new("authorization_details", why)]);
    };
    for (index, object) in objects.iter().enumerate() {
        if object.get("type").and_then(Value::as_str) != Some(TYPE) {
            continue;
        }
        let origin = format!("authorization_details[{index}]");
        match grant(&origin, object) {
            Ok(grant) => grants.push(grant),
            Err(why) => remarks.push(Remark::new(&origin, why)),
        }
    }
    (grants, remarks)
}

fn grant(origin: &str, object: &Value) -> Result<Grant, String> {
    let nothing = |(name, value): (&String, &Value)| value.is_null().then(|| name.clone());
    if let Some(name) = object.as_object().and_then(|members| members.iter().find_map(nothing)) {
        return Err(format!("'{name}' is null: whether that narrows it is not clear"));
    }
    let detail = Detail::deserialize(object).map_err(|error| error.to_string())?;
    let action = |word: &String| Action::of(word).ok_or(format!("unknown action '{word}'"));
    let actions = detail.actions.iter().map(action).collect::<Result<Vec<_>, _>>()?;
    let keys = keys(detail.keys, detail.keys_base64)?;
    if keys.is_some() && actions.iter().any(|a| matches!(a, Action::Group | Action::Admin)) {
        return Err("'keys' confine 'read' and 'publish' alone: a group's commits would skip \
                    what others must see"
            .to_owned());
    }
    // An empty list is no absent one: it narrows to nothing.
    let unnamed = detail.topics.is_none() && detail.groups.is_none();
    let gateway = unnamed && actions == [Action::Admin];
    let everything = || vec![Pattern::ANY.to_owned()];
    let named = |names: Option<Vec<String>>| match names {
        None if gateway => everything(),
        names => names.unwrap_or_default(),
    };
    let (topics, groups) = (patterns(&named(detail.topics))?, patterns(&named(detail.groups))?);
    if topics.is_empty() && groups.is_empty() {
        return Err("it names neither 'topics' nor 'groups'".to_owned());
    }
    Ok(Grant { origin: origin.to_owned(), actions, topics, groups, keys, gateway })
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, String> {
    let pattern = |text: &String| Pattern::new(text).map_err(|error| format!("'{text}': {error}"));
    texts.iter().map(pattern).collect()
}

/// No member of keys is no confinement; an empty one allows no record at all.
fn keys(texts: Option<Vec<String>>, base64: Option<Vec<String>>) -> Result<Option<Keys>, String> {
    if texts.is_none() && base64.is_none() {
        return Ok(None);
    }
    let mut keys: BTreeSet<Bytes> = texts.into_iter().flatten().map(Bytes::from).collect();
    for text in base64.into_iter().flatten() {
        let key = STANDARD.decode(&text).map_err(|error| format!("key '{text}': {error}"))?;
        keys.insert(key.into());
    }
    if let Some(long) = keys.iter().find(|key| key.len() > MAX_KEY_BYTES) {
        return Err(format!("a key has {} bytes, at most {MAX_KEY_BYTES} are allowed", long.len()));
    }
    Ok(Some(keys.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(object: Value) -> String {
        let (grants, remarks) = grants(&json!([object]));
        assert!(grants.is_empty(), "{object}");
        remarks.first().map_or_else(|| panic!("{object}: no remark"), Remark::to_string)
    }

    #[test]
    fn an_object_is_a_grant() {
        let claim = json!([
            {"type": "payment", "amount": 7},
            {"type": "tidegate", "actions": ["read"], "topics": ["notifications"], "keys": ["user-42"]},
            {"type": "tidegate", "actions": ["group", "admin"], "groups": ["billing-*"]},
            {"type": "tidegate", "actions": ["admin"]},
        ]);
        let (grants, remarks) = grants(&claim);
        assert_eq!((grants.len(), remarks), (3, vec![]));
        assert_eq!(grants[0].keys.as_deref(), Some(&[Bytes::from("user-42")][..]));
        assert!(grants[1].is_for_group("billing-1") && !grants[1].gateway);
        assert!(grants[2].gateway && grants[2].is_for_topic("any.thing"));
        assert_eq!(grants[0].origin, "authorization_details[1]");
    }

    #[test]
    fn keys_are_text_or_base64_each_once() {
        let object = json!({"type": "tidegate", "actions": ["read"], "topics": ["t"],
                            "keys": ["b", "a"], "keys_base64": ["YQ==", "/w=="]});
        let (grants, _) = grants(&json!([object]));
        let wanted = ["a", "b"].map(Bytes::from).into_iter().chain([Bytes::from(vec![0xff])]);
        assert_eq!(grants[0].keys.as_deref(), Some(&*wanted.collect::<Vec<_>>()));
    }

    #[test]
    fn what_is_not_understood_in_all_its_parts_grants_nothing() {
        let ours = |more: Value| {
            let mut object = json!({"type": "tidegate", "actions": ["read"], "topics": ["t"]});
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            refused(object)
        };
        assert!(ours(json!({"locations": ["https://eu"]})).contains("locations"));
        assert!(ours(json!({"actions": ["read", "write"]})).contains("write"));
        assert!(ours(json!({"topics": ["a***"]})).contains("***"));
        assert!(ours(json!({"topics": []})).contains("neither"));
        assert!(ours(json!({"actions": ["admin"], "topics": []})).contains("neither"));
        assert!(ours(json!({"keys": null})).contains("null"));
        assert!(ours(json!({"actions": ["admin"], "topics": null})).contains("null"));
        assert!(ours(json!({"topics": "t"})).contains("sequence"));
        assert!(ours(json!({"keys_base64": ["?"]})).contains("'?'"));
        assert!(ours(json!({"keys": ["k".repeat(MAX_KEY_BYTES + 1)]})).contains("bytes"));
        assert!(
            ours(json!({"actions": ["group"], "groups": ["g"], "keys": ["k"]})).contains("commits")
        );
        assert!(grants(&json!({"type": "tidegate"})).1[0].to_string().contains("array"));
    }
}
