//! What the cluster says of itself: brokers, topics, who holds which partition;
//! and the calls that change topics. Each is asked for by a call of its own.

use super::{
    client::{Clients, Consumer, Link},
    errors::{self, When},
    settings::Found,
};
use crate::{
    domain::{GroupName, Offset, PartitionId, TopicName},
    engine::{EngineError, GroupError},
    runtime,
};
use rdkafka::{
    TopicPartitionList,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewTopic, OwnedResourceSpecifier,
        ResourceSpecifier, TopicReplication,
    },
    config::FromClientConfigAndContext,
    consumer::Consumer as _,
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// How long a call to the cluster may take.
pub(super) const CALL: Duration = Duration::from_secs(15);
/// How long the cluster's description may take.
const LOOK: Duration = Duration::from_secs(5);
/// How long what the client has to tell is listened to after a look.
const HEAR: Duration = Duration::from_millis(1);
/// And after one that failed.
const HEAR_FAULTS: Duration = Duration::from_millis(200);

/// The cluster as one of its brokers sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The brokers' ids.
    pub brokers: Vec<i32>,
    /// Topics by their names in the cluster; partitions in order.
    pub topics: BTreeMap<String, Vec<Holders>>,
}

/// Who holds a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    /// Those in sync, the leader first; empty if there is no leader.
    pub in_sync: Vec<i32>,
    /// How many there are to be.
    pub replicas: usize,
}

/// The way to the cluster's administration.
pub(super) struct Cluster {
    admin: AdminClient<Link>,
    looking: Arc<Consumer>,
}

impl Cluster {
    pub(super) fn new(clients: &Clients) -> Result<Cluster, EngineError> {
        let (config, link) = clients.admin();
        let admin = AdminClient::from_config_and_context(config, link)
            .map_err(|e| EngineError::Unavailable(format!("the Kafka client: {e}")))?;
        Ok(Cluster { admin, looking: Arc::new(clients.consumer(100)?) })
    }

    /// Everything there is.
    pub(super) async fn look(&self) -> Result<Seen, EngineError> {
        self.look_at(None).await
    }

    /// One topic, or everything there is.
    pub(super) async fn look_at(&self, raw: Option<String>) -> Result<Seen, EngineError> {
        let looking = Arc::clone(&self.looking);
        let looked = runtime::blocking(move || {
            let seen = looking.fetch_metadata(raw.as_deref(), LOOK);
            // What the client has to tell is heard here too.
            let most = if seen.is_ok() { HEAR } else { HEAR_FAULTS };
            super::client::hear(&looking, most);
            Ok::<Seen, KafkaError>(seen_in(&seen?))
        });
        let looked = looked.await.map_err(|e| EngineError::Unavailable(e.to_string()))?;
        looked.map_err(|e| errors::of(&e, None, When::Before))
    }

    /// What the cluster calls itself.
    pub(super) fn consumer(&self) -> &Arc<Consumer> {
        &self.looking
    }

    /// Makes a topic. `TopicExists` if the name is taken.
    pub(super) async fn create(
        &self,
        raw: &str,
        name: Option<&TopicName>,
        partitions: u32,
        replication: Option<u16>,
        settings: &[(&'static str, String)],
    ) -> Result<(), EngineError> {
        // -1 asks for the cluster's default.
        let copies = TopicReplication::Fixed(replication.map_or(-1, i32::from));
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let topic = NewTopic::new(raw, partitions, copies);
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let results = self.admin.create_topics([&topic], &options()).await;
        one(results.map_err(|e| errors::of(&e, name, When::After))?, name)
    }

    /// Deletes a topic.
    pub(super) async fn delete(&self, raw: &str, name: &TopicName) -> Result<(), EngineError> {
        let results = self.admin.delete_topics(&[raw], &options()).await;
        one(results.map_err(|e| errors::of(&e, Some(name), When::After))?, Some(name))
    }

    /// Deletes a group without members.
    pub(super) async fn delete_group(
        &self,
        raw: &str,
        group: &GroupName,
    ) -> Result<(), GroupError> {
        let results = self.admin.delete_groups(&[raw], &options()).await;
        let results = results.map_err(|e| errors::of(&e, None, When::After))?;
        match results.into_iter().next() {
            None | Some(Ok(_)) => Ok(()),
            Some(Err((_, Code::NonEmptyGroup))) => Err(GroupError::NotEmpty(group.clone())),
            Some(Err((_, Code::GroupIdNotFound))) => Err(GroupError::GroupUnknown(group.clone())),
            Some(Err((_, code))) => Err(errors::of_code(code, None, When::After).into()),
        }
    }

    /// Lays settings over those that the topic has.
    pub(super) async fn alter(
        &self,
        raw: &str,
        name: &TopicName,
        settings: &[(&'static str, String)],
    ) -> Result<(), EngineError> {
        // The call sets all: what is not named would go back to its default.
        let resource = ResourceSpecifier::Topic(raw);
        let told = self.admin.describe_configs([&resource], &options()).await;
        let told = told.map_err(|e| errors::of(&e, Some(name), When::Before))?;
        let told = told.into_iter().next();
        let told = told.unwrap_or(Err(Code::UnknownTopicOrPartition));
        let told = told.map_err(|code| errors::of_code(code, Some(name), When::Before))?;
        let own = told.entries.iter().filter(|entry| {
            entry.source == rdkafka::admin::ConfigSource::DynamicTopic && !entry.is_sensitive
        });
        let mut all: BTreeMap<&str, &str> =
            own.filter_map(|e| Some((e.name.as_str(), e.value.as_deref()?))).collect();
        all.extend(settings.iter().map(|(key, value)| (*key, value.as_str())));
        let alter = AlterConfig::new(ResourceSpecifier::Topic(raw));
        let alter = all.iter().fold(alter, |alter, (key, value)| alter.set(key, value));
        let results = self.admin.alter_configs([&alter], &options()).await;
        let results = results.map_err(|e| errors::of(&e, Some(name), When::After))?;
        match results.into_iter().next() {
            Some(Err((_, code))) => Err(errors::of_code(code, Some(name), When::After)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// The settings of topics. One that is gone meanwhile is left out.
    pub(super) async fn settings(
        &self,
        raws: &[String],
    ) -> Result<HashMap<String, Found>, EngineError> {
        let resources: Vec<_> = raws.iter().map(|raw| ResourceSpecifier::Topic(raw)).collect();
        let told = self.admin.describe_configs(resources.iter(), &options()).await;
        let told = told.map_err(|e| errors::of(&e, None, When::Before))?;
        let found = told.into_iter().flatten().filter_map(|resource| {
            let OwnedResourceSpecifier::Topic(raw) = &resource.specifier else { return None };
            let entries = resource.entries.iter();
            let found = Found::of(entries.map(|e| (e.name.as_str(), e.value.as_deref())));
            Some((raw.clone(), found))
        });
        Ok(found.collect())
    }

    /// Moves the start of a partition; answers where it is.
    pub(super) async fn trim(
        &self,
        raw: &str,
        name: &TopicName,
        id: PartitionId,
        before: Offset,
    ) -> Result<Offset, EngineError> {
        let fault = |e: KafkaError| errors::of(&e, Some(name), When::After);
        let mut list = TopicPartitionList::new();
        let place = i32::try_from(id.0).unwrap_or(i32::MAX);
        list.add_partition_offset(raw, place, super::follow::at(before)).map_err(fault)?;
        let done = self.admin.delete_records(&list, &options()).await.map_err(fault)?;
        let first = done.elements().into_iter().next();
        let Some(element) = first else { return Ok(before) };
        element.error().map_err(fault)?;
        match element.offset() {
            rdkafka::Offset::Offset(low) => Ok(Offset(u64::try_from(low).unwrap_or(0))),
            _ => Ok(before),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL))
}

fn one(
    results: Vec<Result<String, (String, Code)>>,
    name: Option<&TopicName>,
) -> Result<(), EngineError> {
    match results.into_iter().next() {
        Some(Err((_, code))) => Err(errors::of_code(code, name, When::After)),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn seen_in(metadata: &rdkafka::metadata::Metadata) -> Seen {
    let mut brokers: Vec<i32> = metadata.brokers().iter().map(|b| b.id()).collect();
    brokers.sort_unstable();
    let topics = metadata.topics().iter().filter(|t| t.error().is_none()).map(|topic| {
        let mut parts: Vec<_> = topic.partitions().iter().collect();
        parts.sort_by_key(|p| p.id());
        let holders = parts.iter().map(|p| {
            let leader = p.leader();
            let others = p.isr().iter().copied().filter(|id| *id != leader);
            let in_sync =
                if leader < 0 { vec![] } else { [leader].into_iter().chain(others).collect() };
            Holders { in_sync, replicas: p.replicas().len() }
        });
        (topic.name().to_owned(), holders.collect())
    });
    Seen { brokers, topics: topics.collect() }
}
