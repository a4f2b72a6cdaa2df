//! The Kafka engine keeps the contract.

use super::OnCluster;
use crate::engine::contract::contract_suite;

contract_suite!(OnCluster::new(); ignore = "needs a Kafka cluster: tests/kafka/run");
