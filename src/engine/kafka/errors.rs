//! What the client library says, as what a caller can do about it. The only
//! place that knows librdkafka's codes.

use crate::{domain::TopicName, engine::EngineError};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

/// When the library failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Nothing was handed over yet, or nothing is changed by the call.
    Before,
    /// The cluster may have it.
    After,
}

/// What a consumer says whose place is no longer, or not yet, in the log.
pub(super) const OUT_OF_RANGE: Code = Code::AutoOffsetReset;

/// The code of an error, wherever the crate keeps it.
pub(super) fn code_of(error: &KafkaError) -> Code {
    match error {
        KafkaError::AdminOp(code) => *code,
        other => other.rdkafka_error_code().unwrap_or(Code::Fail),
    }
}

/// An error of the library.
pub(super) fn of(error: &KafkaError, topic: Option<&TopicName>, when: When) -> EngineError {
    match (code_of(error), topic) {
        (Code::Fail, _) => unclear(error.to_string(), when),
        (code, topic) => of_code(code, topic, when),
    }
}

/// A code of the library or of a broker.
pub(super) fn of_code(code: Code, topic: Option<&TopicName>, when: When) -> EngineError {
    let told = code.to_string();
    match (code, topic) {
        (
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition,
            Some(topic),
        ) => EngineError::TopicUnknown(topic.clone()),
        (Code::TopicAlreadyExists, Some(topic)) => EngineError::TopicExists(topic.clone()),
        _ if is_refusal(code) => EngineError::Refused(told),
        _ if never_happened(code) => EngineError::Unavailable(told),
        _ => unclear(told, when),
    }
}

fn unclear(told: String, when: When) -> EngineError {
    match when {
        When::Before => EngineError::Unavailable(told),
        When::After => EngineError::OutcomeUnknown(told),
    }
}

/// Whether what met this is certainly not in the log.
pub(super) fn had_no_effect(code: Code) -> bool {
    is_refusal(code) || never_happened(code)
}

/// The same request would be refused again, and had no effect.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::PolicyViolation
            | Code::InvalidConfig
            | Code::InvalidReplicationFactor
            | Code::InvalidPartitions
            | Code::InvalidReplicaAssignment
            | Code::InvalidTopic
            | Code::UnsupportedCompressionType
    )
}

/// The request had no effect, and may do better later.
fn never_happened(code: Code) -> bool {
    matches!(
        code,
        Code::NotEnoughReplicas
            | Code::QueueFull
            | Code::PurgeQueue
            | Code::LeaderNotAvailable
            | Code::NotController
            | Code::CoordinatorNotAvailable
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::SSL
    )
}

/// Whether nobody answered, rather than something that was not hoped for.
pub(super) fn is_silence(error: &KafkaError) -> bool {
    matches!(
        code_of(error),
        Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::TimedOutQueue
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
    )
}

/// Whether somebody else has taken a transactional id over, or the producer is
/// of no use any more: another one is to be made.
pub(super) fn is_fenced(error: &KafkaError) -> bool {
    let fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
    fatal
        || matches!(
            code_of(error),
            Code::Fenced
                | Code::ProducerFenced
                | Code::InvalidProducerEpoch
                | Code::InvalidProducerIdMapping
                | Code::Fatal
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> TopicName {
        TopicName::new("orders").unwrap()
    }

    #[test]
    fn a_time_out_is_told_by_whether_anything_was_sent() {
        let error = |when| of_code(Code::MessageTimedOut, Some(&topic()), when);
        assert!(matches!(error(When::Before), EngineError::Unavailable(_)));
        assert!(matches!(error(When::After), EngineError::OutcomeUnknown(_)));
    }

    #[test]
    fn what_the_cluster_refuses_is_no_outage() {
        for code in [Code::MessageSizeTooLarge, Code::InvalidTimestamp, Code::PolicyViolation] {
            assert!(matches!(of_code(code, None, When::After), EngineError::Refused(_)), "{code}");
        }
    }

    #[test]
    fn what_certainly_did_not_happen_can_be_sent_again() {
        for code in [Code::NotEnoughReplicas, Code::PurgeQueue, Code::SaslAuthenticationFailed] {
            let error = of_code(code, None, When::After);
            assert!(matches!(error, EngineError::Unavailable(_)), "{code}");
        }
    }

    #[test]
    fn names_are_told_with_their_topic() {
        let error = of_code(Code::UnknownTopicOrPartition, Some(&topic()), When::After);
        assert_eq!(error, EngineError::TopicUnknown(topic()));
        let error = of_code(Code::TopicAlreadyExists, Some(&topic()), When::Before);
        assert_eq!(error, EngineError::TopicExists(topic()));
    }
}
