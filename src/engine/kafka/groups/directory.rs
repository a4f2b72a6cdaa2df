//! Which gateway serves a member, for those who are asked and do not: in the
//! state table, where every gateway says that it lives, and at which address.
//!
//! | namespace | key | value |
//! | --- | --- | --- |
//! | `gateway` | the gateway's number | its address; forgotten unless it is renewed |
//! | `member` | group 0 member | the number of the gateway that serves it, and whose it is (JSON) |

use crate::{
    domain::{GroupName, MemberId, Principal, Timestamp},
    engine::{EngineError, StateEntry, StateKey, StateTable, kafka::KafkaEngine},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

const GATEWAYS: &str = "gateway";
const MEMBERS: &str = "member";
/// How often a gateway says that it lives.
pub(super) const BEAT: Duration = Duration::from_secs(5);
/// For how long that counts.
const LIVES: Duration = Duration::from_secs(20);
/// Entries that are taken away at once.
const SWEEP: usize = 500;

/// Where a member is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Nowhere, or at a gateway that is dead.
    Nowhere,
    /// By this gateway.
    Here,
    /// By another one that lives, at this address.
    At(String),
    /// By another one that lives and names no address.
    Unnamed,
}

/// Gateways and members.
pub(super) struct Directory {
    engine: Arc<KafkaEngine>,
    address: String,
}

impl Directory {
    pub(super) fn new(engine: Arc<KafkaEngine>) -> Directory {
        let address = engine.core.config.advertise.trim_end_matches('/').to_owned();
        Directory { engine, address }
    }

    /// This gateway's number.
    pub(super) fn own(&self) -> u64 {
        self.engine.core.gateway
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine.core.now()
    }

    /// Says that this gateway lives; and that one who had its address does not.
    pub(super) async fn announce(&self) -> Result<(), EngineError> {
        let value = Bytes::copy_from_slice(self.address.as_bytes());
        let entry = StateEntry { value, expires: Some(self.now().plus(LIVES)) };
        let before = self.engine.list(GATEWAYS, self.now()).into_iter();
        let before = before.filter(|(key, entry)| {
            !self.address.is_empty()
                && entry.value == self.address.as_bytes()
                && key[..] != self.own().to_be_bytes()
        });
        let mut changes: Vec<_> =
            before.map(|(key, _)| (StateKey { space: GATEWAYS, key }, None)).collect();
        changes.push((gateway(self.own()), Some(entry)));
        self.engine.put(changes).await
    }

    /// Says that it lives no more.
    pub(super) async fn withdraw(&self) -> Result<(), EngineError> {
        self.engine.put(vec![(gateway(self.own()), None)]).await
    }

    pub(super) fn lives(&self, number: u64) -> bool {
        number == self.own() || self.engine.get(&gateway(number), self.now()).is_some()
    }

    pub(super) fn find(&self, group: &GroupName, id: &MemberId) -> Whereabouts {
        let Some(by) = self.served_by(group, id) else { return Whereabouts::Nowhere };
        if by == self.own() {
            return Whereabouts::Here;
        }
        let Some(entry) = self.engine.get(&gateway(by), self.now()) else {
            return Whereabouts::Nowhere;
        };
        match std::str::from_utf8(&entry.value) {
            Ok("") | Err(_) => Whereabouts::Unnamed,
            Ok(address) => Whereabouts::At(address.to_owned()),
        }
    }

    fn entry(&self, group: &GroupName, id: &MemberId) -> Option<Bytes> {
        self.engine.get(&member(group, id), self.now()).map(|entry| entry.value)
    }

    fn served_by(&self, group: &GroupName, id: &MemberId) -> Option<u64> {
        self.entry(group, id)?.first_chunk().copied().map(u64::from_be_bytes)
    }

    /// Whose the member is that some gateway serves, or served last.
    pub(super) fn principal(&self, group: &GroupName, id: &MemberId) -> Option<Principal> {
        serde_json::from_slice(self.entry(group, id)?.get(8..)?).ok()
    }

    /// Notes that a member is served here, whoever served it before. What other
    /// gateways noted before that is known here when it is done.
    pub(super) async fn enter(
        &self,
        group: &GroupName,
        id: &MemberId,
        principal: &Principal,
    ) -> Result<(), EngineError> {
        let whose = serde_json::to_vec(principal)
            .map_err(|error| EngineError::Unavailable(error.to_string()))?;
        let value = [&self.own().to_be_bytes()[..], &whose].concat().into();
        let entry = StateEntry { value, expires: None };
        self.engine.put(vec![(member(group, id), Some(entry))]).await
    }

    /// Notes that it is not any more.
    pub(super) async fn strike(&self, group: &GroupName, id: &MemberId) -> Result<(), EngineError> {
        if self.served_by(group, id) != Some(self.own()) {
            return Ok(());
        }
        self.engine.put(vec![(member(group, id), None)]).await
    }

    /// Takes away the members of gateways that are dead.
    pub(super) async fn sweep(&self) -> Result<(), EngineError> {
        let all = self.engine.list(MEMBERS, self.now()).into_iter();
        let dead = all.filter(|(_, entry)| {
            let by = entry.value.first_chunk::<8>().map(|by| u64::from_be_bytes(*by));
            !by.is_some_and(|by| self.lives(by))
        });
        let dead: Vec<_> =
            dead.take(SWEEP).map(|(key, _)| (StateKey { space: MEMBERS, key }, None)).collect();
        if dead.is_empty() { Ok(()) } else { self.engine.put(dead).await }
    }
}

fn gateway(number: u64) -> StateKey {
    StateKey { space: GATEWAYS, key: Bytes::copy_from_slice(&number.to_be_bytes()) }
}

fn member(group: &GroupName, id: &MemberId) -> StateKey {
    let key = [group.as_str().as_bytes(), b"\0", id.as_str().as_bytes()].concat();
    StateKey { space: MEMBERS, key: key.into() }
}
