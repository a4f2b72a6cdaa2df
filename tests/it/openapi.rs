//! The OpenAPI document: the committed one is the one that is served.
//! `UPDATE_OPENAPI=1 cargo test openapi` writes it anew.

use crate::util::Gateway;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};
use tidegate::config::EngineKind;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/tidegate.v1.json");

#[tokio::test]
async fn the_committed_document_is_what_the_code_generates() {
    let gateway = Gateway::start(EngineKind::Memory, |_| {}).await;
    let served = gateway.get("/openapi.json").await.text();
    gateway.stop().await;
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::create_dir_all(Path::new(FILE).parent().unwrap()).unwrap();
        fs::write(FILE, &served).unwrap();
    }
    let committed = fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        committed == served,
        "openapi/tidegate.v1.json is not what the code generates: \
         look at the change, then write it with UPDATE_OPENAPI=1 cargo test openapi"
    );
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&tidegate::http::document()).unwrap();
    let mut open = vec![&document];
    let mut references = BTreeSet::new();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                references.extend(members.get("$ref").and_then(Value::as_str));
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references.len() > 5);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_call_is_described_with_its_refusals() {
    let document: Value = serde_json::from_str(&tidegate::http::document()).unwrap();
    for (path, calls) in document["paths"].as_object().unwrap() {
        for (method, call) in calls.as_object().unwrap() {
            assert!(call["summary"].is_string(), "{method} {path} has no summary");
            if path.starts_with("/v1") {
                let described = &call["responses"]["403"]["content"]["application/problem+json"];
                assert!(described["examples"]["host_refused"].is_object(), "{method} {path}");
            }
        }
    }
}
