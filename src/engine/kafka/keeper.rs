//! Keeps the catalogue as the cluster is: topics that others made or deleted,
//! settings that others changed, who holds which partition. One task.

use super::{
    append,
    catalog::{Shared, TopicState},
    cluster::{Holders, Seen},
    core::{Core, LastSeen},
    marks::Truncated,
    naming,
    notes::Named,
    settings::Found,
    topics,
};
use crate::{
    domain::{Incarnation, Timestamp, TopicName, limits},
    engine::{EngineError, Topic},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedReceiver;

/// Settings are asked for every so many looks: they change seldom.
const SETTINGS_EVERY: u32 = 30;
/// What is remembered no longer is taken away once in the time of so many looks.
const SWEEP_EVERY: u32 = 10;
/// How many notes are taken away at once.
const SWEEP: usize = 1_000;
/// Entries of the table are taken away so long after they expired: another
/// gateway may be setting them anew.
const ENTRIES_LINGER: Duration = Duration::from_secs(600);
/// A topic is new, or gone, once so many looks in a row agree: a broker may be
/// late.
const AGREE: u32 = 3;

/// What looks have found so far that is not sure yet.
#[derive(Default)]
struct Doubts {
    new: HashMap<String, u32>,
    gone: HashMap<String, u32>,
}

/// Looks again and again, until it is stopped.
pub(super) async fn run(core: Arc<Core>, mut truncated: UnboundedReceiver<Truncated>) {
    let mut doubts = Doubts::default();
    let mut round = 0u32;
    let changed = Arc::clone(&core.state.topics_changed);
    while !core.catalog.is_closed() {
        let mut settings = false;
        tokio::select! {
            () = tokio::time::sleep(core.config.refresh) => {}
            () = core.look.notified() => {}
            () = changed.notified() => settings = true,
            Some(Truncated { topic, partition }) = truncated.recv() => {
                if let Err(error) = core.keep_partition(&topic, partition).await {
                    tracing::warn!(%error, "an epoch was not kept");
                }
                continue;
            }
        }
        for (topic, partition) in core.learn() {
            if let Err(error) = core.keep_partition(&topic, partition).await {
                tracing::debug!(%error, "what is known of a partition is kept later");
                break;
            }
        }
        round = round.wrapping_add(1);
        settings |= round.is_multiple_of(SETTINGS_EVERY);
        match look_with(&core, &mut doubts, settings, false).await {
            Ok(()) => {}
            Err(error) => core.seen.lock().fault = Some(error.to_string()),
        }
    }
}

/// Takes away what is remembered no longer, now and then, until it is stopped.
/// Apart from the looks, since it waits for the cluster.
pub(super) async fn sweep_on(core: Arc<Core>) {
    while !core.catalog.is_closed() {
        tokio::select! {
            () = tokio::time::sleep(core.config.refresh * SWEEP_EVERY) => {}
            () = core.closing.notified() => continue,
        }
        sweep(&core).await;
    }
}

async fn sweep(core: &Arc<Core>) {
    append::forget_expired(core, SWEEP).await;
    let by = core.now().minus(ENTRIES_LINGER);
    let expired = core.state.with(|notes| notes.expired_entries(by, SWEEP));
    if !expired.is_empty() {
        let _in_turn = core.table.lock().await;
        if let Err(error) = core.note(expired).await {
            tracing::debug!(%error, "expired entries were left");
        }
    }
    let idle = core.beside(|core| {
        core.history.sweep();
        core.pool.hear();
    });
    if idle.await.is_err() {
        tracing::warn!("idle clients were not looked at");
    }
}

/// One look; everything it shows counts at once.
pub(super) async fn look(core: &Arc<Core>, at_once: bool) -> Result<(), EngineError> {
    look_with(core, &mut Doubts::default(), false, at_once).await
}

async fn look_with(
    core: &Arc<Core>,
    doubts: &mut Doubts,
    settings: bool,
    at_once: bool,
) -> Result<(), EngineError> {
    let seen = core.cluster.look().await?;
    let prefix = &core.config.topic_prefix;
    let served: BTreeMap<TopicName, (String, Vec<Holders>)> = seen
        .topics
        .iter()
        .filter_map(|(raw, parts)| {
            Some((naming::served(prefix, raw)?, (raw.clone(), parts.clone())))
        })
        .collect();
    take_note(core, &seen);
    let mut new = vec![];
    for (name, (raw, holders)) in &served {
        match core.catalog.named(name) {
            Ok(state) if state.partitions.len() == holders.len() => topics::hold(&state, holders),
            Ok(state) => {
                tracing::warn!(
                    topic = raw,
                    had = state.partitions.len(),
                    has = holders.len(),
                    "partitions were added, and keys are elsewhere now"
                );
                new.push((name.clone(), raw.clone(), holders.clone()));
            }
            Err(_) if core.may_be_deleted(raw) => {}
            Err(_) => {
                let looks = doubts.new.entry(raw.clone()).or_default();
                *looks += 1;
                // Another gateway that makes it now has not said so yet.
                let made = matches!(core.noted(name), Named::Made(_));
                if at_once || *looks >= AGREE || made {
                    new.push((name.clone(), raw.clone(), holders.clone()));
                }
            }
        }
    }
    doubts.new.retain(|raw, _| seen.topics.contains_key(raw) && !new.iter().any(|n| n.1 == *raw));
    if !new.is_empty() {
        add(core, new).await?;
    }
    let gone = doubts.gone(core, &served);
    for state in gone {
        vanished(core, &state).await;
    }
    if settings {
        refresh_settings(core).await?;
    }
    Ok(())
}

fn take_note(core: &Core, seen: &Seen) {
    let all = || seen.topics.values().flatten();
    let short = |h: &&Holders| h.in_sync.len() < h.replicas;
    *core.seen.lock() = LastSeen {
        at: Instant::now(),
        brokers: seen.brokers.len(),
        under_replicated: all().filter(short).count(),
        leaderless: all().filter(|h| h.in_sync.is_empty()).count(),
        fault: None,
    };
}

impl Doubts {
    /// Topics that were not there in several looks.
    fn gone(
        &mut self,
        core: &Core,
        served: &BTreeMap<TopicName, (String, Vec<Holders>)>,
    ) -> Vec<Arc<TopicState>> {
        let mut gone = vec![];
        let mut missed = HashMap::new();
        for state in core.catalog.all() {
            if served.contains_key(&state.topic().name) {
                continue;
            }
            let looks = self.gone.get(&state.raw).copied().unwrap_or(0) + 1;
            if looks >= AGREE {
                gone.push(state);
            } else {
                missed.insert(state.raw.clone(), looks);
            }
        }
        self.gone = missed;
        let mut unfit = core.unfit.lock();
        unfit.retain(|name, _| served.contains_key(name));
        gone
    }
}

/// Another program deleted a topic.
async fn vanished(core: &Arc<Core>, state: &Arc<TopicState>) {
    let _one_at_a_time = core.admin.lock().await;
    if state.is_gone() || !core.catalog.remove(state) {
        return;
    }
    let topic = state.topic();
    tracing::warn!(topic = state.raw, "the topic was deleted in the cluster");
    let notes =
        core.state.with(|all| all.to_forget(topic.name.as_str(), &state.raw, topic.incarnation));
    if let Err(error) = topics::forget(core, notes).await {
        tracing::warn!(%error, topic = state.raw, "what was kept of a deleted topic is left");
    }
}

/// Adds topics that are new to this gateway, with where their partitions stand.
async fn add(
    core: &Arc<Core>,
    new: Vec<(TopicName, String, Vec<Holders>)>,
) -> Result<(), EngineError> {
    let raws: Vec<_> = new.iter().map(|(_, raw, _)| raw.clone()).collect();
    let found = core.cluster.settings(&raws).await?;
    let mut fit = vec![];
    for (name, raw, holders) in new {
        if holders.len() > limits::MAX_PARTITIONS as usize {
            let told = format!(
                "topic '{name}' has {} partitions, and {} are the most that can be served",
                holders.len(),
                limits::MAX_PARTITIONS
            );
            core.unfit.lock().insert(name, told);
            continue;
        }
        // Gone meanwhile: the next look will tell.
        if let Some(found) = found.get(&raw) {
            let topic = topic_of(core, name, &raw, &holders, found);
            fit.push((raw, topic, holders));
        }
    }
    for (raw, topic, holders) in fit {
        let shared: Vec<Shared> = core.remembered(&topic);
        let state = core.catalog.add(raw, topic, shared);
        topics::hold(&state, &holders);
        if let Some(found) = found.get(&state.raw) {
            state.set_batch_limit(found.message_bytes);
        }
    }
    // Where its partitions stand is asked of each leader for its own. A partition
    // that nobody answers for is learnt of later, and nobody is told meanwhile
    // where it ends.
    core.marks.around().await;
    Ok(())
}

/// What a topic in the cluster is to this gateway.
fn topic_of(core: &Core, name: TopicName, raw: &str, holders: &[Holders], found: &Found) -> Topic {
    let partitions = u32::try_from(holders.len()).unwrap_or(u32::MAX);
    let replicas = holders.first().map_or(0, |h| h.replicas);
    let others = found.of_others(partitions, replicas);
    let of_others = |times| (naming::of_others(raw, times), Timestamp::EPOCH, others.clone());
    let (incarnation, created, config) = match core.noted(&name) {
        Named::Made(made) => {
            let mut config = found.over(&made.config);
            config.partitions = others.partitions;
            (made.incarnation, made.created, config)
        }
        Named::Others { times } => of_others(times),
    };
    let id = naming::id(incarnation);
    Topic { name, id, incarnation: Incarnation(incarnation.0), config, created }
}

/// Asks for the settings of all topics, and takes in what has changed.
async fn refresh_settings(core: &Arc<Core>) -> Result<(), EngineError> {
    let states = core.catalog.all();
    let raws: Vec<_> = states.iter().map(|state| state.raw.clone()).collect();
    for some in raws.chunks(200) {
        let found = core.cluster.settings(some).await?;
        for state in states.iter().filter(|state| !state.is_gone()) {
            let Some(found) = found.get(&state.raw) else { continue };
            state.set_batch_limit(found.message_bytes);
            let old = state.topic();
            let holders: Vec<_> = state.partitions.iter().map(|p| p.shared()).collect();
            let holders: Vec<_> = holders
                .into_iter()
                .map(|s| Holders { in_sync: s.in_sync, replicas: s.replicas })
                .collect();
            let new = topic_of(core, old.name.clone(), &state.raw, &holders, found);
            if new.incarnation != old.incarnation {
                // What stood for another program's topic is one of ours.
                core.catalog.remove(state);
            } else if new.config != old.config {
                state.set_topic(Topic { config: new.config, ..(*old).clone() });
            }
        }
    }
    Ok(())
}
