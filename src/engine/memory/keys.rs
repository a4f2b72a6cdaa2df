//! The idempotency keys that are remembered: what each request did, for how
//! long, and no more of them than the bound. Times are handed in.

use crate::domain::{IdempotencyKey, Timestamp, TopicId};
use crate::engine::{Appended, BodyDigest, EngineError, Idempotency};
use std::collections::HashMap;

struct Remembered {
    digest: BodyDigest,
    expires: Timestamp,
    result: Appended,
}

/// Keys by topic.
pub(super) struct Keys {
    max: usize,
    by_topic: HashMap<(TopicId, IdempotencyKey), Remembered>,
}

impl Keys {
    pub(super) fn new(max: usize) -> Keys {
        Keys { max, by_topic: HashMap::new() }
    }

    /// What the request did already, or `None` if it is new and there is room
    /// to remember it. `IdempotencyConflict` if the key named another body.
    pub(super) fn look_up(
        &mut self,
        topic: TopicId,
        request: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Appended>, EngineError> {
        if self.by_topic.len() >= self.max {
            self.by_topic.retain(|_, known| known.expires > now);
        }
        let known = self.by_topic.get(&(topic, request.key.clone()));
        match known.filter(|known| known.expires > now) {
            Some(known) if known.digest != request.digest => Err(EngineError::IdempotencyConflict),
            Some(known) => Ok(Some(Appended { repeated: true, ..known.result.clone() })),
            None if self.by_topic.len() >= self.max => Err(EngineError::IdempotencyFull(self.max)),
            None => Ok(None),
        }
    }

    /// Remembers what a request did, from `now` on for its time to live.
    pub(super) fn remember(
        &mut self,
        topic: TopicId,
        request: Idempotency,
        result: Appended,
        now: Timestamp,
    ) {
        let Idempotency { key, digest, ttl } = request;
        let expires = now.plus(ttl);
        self.by_topic.insert((topic, key), Remembered { digest, expires, result });
    }

    /// Forgets the keys of a topic that is deleted.
    pub(super) fn forget(&mut self, topic: TopicId) {
        self.by_topic.retain(|(of, _), _| *of != topic);
    }
}
