//! Bodies about topics become settings, changes and trims, or say why not.

use super::*;

#[test]
fn an_empty_body_asks_for_the_defaults() {
    for body in [&b""[..], b" \n", b"{}", b"{\"partitions\":null}"] {
        assert_eq!(TopicBody::parse(body).unwrap().config(), Ok(TopicConfig::default()));
    }
}

#[test]
fn settings_are_taken_over() {
    let body = br#"{"partitions":4,"retention_ms":5000,"max_record_bytes":2048,
        "durability":"buffered","keyed":true,"replication_factor":3}"#;
    let config = TopicBody::parse(body).unwrap().config().unwrap();
    assert_eq!(config.partitions, PartitionCount(4));
    assert_eq!(config.retention_ms, Some(5_000));
    assert_eq!(config.durability, Durability::Buffered);
    assert!(config.keyed);
    assert_eq!(config.replication_factor, Some(3));
    let settings = serde_json::to_value(TopicSettings::from(&config)).unwrap();
    assert_eq!(settings["retention_bytes"], serde_json::Value::Null);
}

#[test]
fn wrong_bodies_are_refused_with_their_code() {
    let code = |body: &[u8]| TopicBody::parse(body).unwrap_err().code;
    assert_eq!(code(b"{"), ErrorCode::JsonInvalid);
    assert_eq!(code(b"\xff"), ErrorCode::JsonInvalid);
    assert_eq!(code(&[b'['; 1 << 20]), ErrorCode::JsonTooDeep);
    for body in [
        "[4]",
        "4",
        "{\"partition\":1}",
        "{\"partitions\":-1}",
        "{\"keyed\":1}",
        "{\"keyed\":true,\"keyed\":true}",
    ] {
        assert_eq!(code(body.as_bytes()), ErrorCode::BodyInvalid, "{body}");
    }
    let body = TopicBody::parse(b"{\"partitions\":0,\"retention_bytes\":1}").unwrap();
    let problem = body.config().unwrap_err();
    assert_eq!(problem.code, ErrorCode::TopicConfigInvalid);
    assert_eq!(problem.extras["faults"].as_array().unwrap().len(), 2);
}

#[test]
fn null_takes_a_bound_away_and_absence_leaves_it() {
    let patch = TopicPatchBody::parse(b"{\"retention_ms\":null}").unwrap().patch().unwrap();
    assert_eq!((patch.retention_ms, patch.retention_bytes), (Some(None), None));
    let patch = TopicPatchBody::parse(b"{\"retention_ms\":5000}").unwrap().patch().unwrap();
    assert_eq!(patch.retention_ms, Some(Some(5_000)));
    assert!(TopicPatchBody::parse(b"{\"retention_ms\":1}").unwrap().patch().is_err());
    assert!(TopicPatchBody::parse(b"{\"partitions\":2}").is_err());
}

#[test]
fn a_trim_is_by_offset_of_one_partition_or_by_time() {
    let trim = |body: &str| TrimBody::parse(body.as_bytes()).and_then(|b| b.trim());
    let at = Timestamp::from_millis(1_700_000_000_000);
    assert_eq!(
        trim(r#"{"partition":1,"before":{"offset":9}}"#),
        Ok(Trim::Offset(PartitionId(1), Offset(9)))
    );
    assert_eq!(trim(r#"{"before":{"time":1700000000000}}"#), Ok(Trim::Time(None, at)));
    assert_eq!(trim(r#"{"before":{"time":"2023-11-14T22:13:20Z"}}"#), Ok(Trim::Time(None, at)));
    for body in [
        "{}",
        r#"{"before":{"offset":9}}"#,
        r#"{"before":{}}"#,
        r#"{"before":5}"#,
        r#"{"partition":1,"before":{"offset":9,"time":1}}"#,
        r#"{"partition":1,"before":{"offset":-1}}"#,
    ] {
        assert_eq!(trim(body).unwrap_err().code, ErrorCode::BodyInvalid, "{body}");
    }
    assert!(trim(r#"{"partition":1,"before":{"offset":9,"time":null}}"#).is_err());
    let refused = trim(r#"{"before":{"offset":9,"time":1}}"#).unwrap_err();
    assert!(refused.detail.contains("exactly one of"), "{}", refused.detail);
    let refused = trim(r#"{"before":{"time":"soon"}}"#).unwrap_err();
    assert_eq!(refused.code, ErrorCode::TimestampInvalid);
}
