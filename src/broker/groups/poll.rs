//! One poll of a member: what it holds is read from its last cursor, or from
//! the commits, until there is a record or something else to hear.

use super::{GroupLoss, Membership};
use crate::{
    broker::{Broker, BrokerError, ReadFrom, ReadRequest, Reader},
    domain::{Cursor, Incarnation, PartitionId, TopicName},
    engine::{Assignment, EngineError, Lease, MemberRef},
};
use std::sync::Arc;

/// A poll that is under way. Dropped, it has changed nothing but the commits
/// of places that the member's policy chose: a lost answer loses nothing.
pub struct GroupPoll {
    broker: Arc<Broker>,
    membership: Membership,
    /// `None` while there is nothing to read.
    reader: Option<Reader>,
    lost: Vec<GroupLoss>,
    waiting: Assignment,
    news: bool,
}

impl GroupPoll {
    /// Begins a poll; renews the session. It goes on from `cursor` for the
    /// partitions that it names and the member holds.
    pub async fn begin(
        broker: &Arc<Broker>,
        member: MemberRef,
        cursor: Option<&Cursor>,
    ) -> Result<GroupPoll, BrokerError> {
        broker.metrics.groups.polls.inc();
        let membership = Membership::of(broker, member).await?;
        let mut poll = GroupPoll {
            broker: Arc::clone(broker),
            membership,
            reader: None,
            lost: vec![],
            waiting: Assignment::new(),
            news: false,
        };
        poll.open(cursor.unwrap_or(&Cursor::default())).await?;
        poll.news = match cursor {
            // A member that lost something, or got something, is to hear of it.
            Some(cursor) => !same_partitions(cursor, &poll.cursor()),
            None => !poll.lost.is_empty() || !poll.lease().revoking.is_empty(),
        };
        Ok(poll)
    }

    async fn open(&mut self, known: &Cursor) -> Result<(), BrokerError> {
        let of = self.lease().assignment.clone();
        let places = self.membership.places(of, known).await?;
        // Where it goes on was committed: what is lost is told once.
        self.news |= places.lost.iter().any(|lost| lost.next.is_some());
        self.lost.extend(places.lost);
        self.waiting = places.waiting;
        let topics: Vec<_> = places.cursor.topics.keys().cloned().collect();
        self.reader = None;
        if !topics.is_empty() {
            let from = ReadFrom::Cursor(places.cursor);
            let request = ReadRequest { topics, partitions: None, from, keys: vec![] };
            self.reader = Some(Reader::open(&self.broker, request).await?);
        }
        Ok(())
    }

    /// What the member holds.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        self.membership.lease()
    }

    /// The reader of what the member holds, if there is something to read.
    pub fn reader(&mut self) -> Option<&mut Reader> {
        self.reader.as_mut()
    }

    /// What the group will never see, beside what the reader tells.
    #[must_use]
    pub fn lost(&self) -> &[GroupLoss] {
        &self.lost
    }

    /// What is held and not read: the policy is `none`, and nothing that could
    /// be gone on from was committed.
    #[must_use]
    pub fn waiting(&self) -> &Assignment {
        &self.waiting
    }

    /// Whether the member is to hear something even if there is no record.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// Where the member stands after what was read.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.reader.as_ref().map(Reader::cursor).unwrap_or_default()
    }

    /// Waits for a record, or until the member holds something else: then the
    /// reader is of that, and there are news. Keeps the session alive.
    pub async fn wait(&mut self) -> Result<(), BrokerError> {
        let read = async {
            match &mut self.reader {
                Some(reader) => reader.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = read => Ok(()),
            changed = self.membership.changed() => {
                changed?;
                self.again().await
            }
        }
    }

    /// Reads what the member holds now, on from where it stands.
    pub async fn again(&mut self) -> Result<(), BrokerError> {
        self.news = true;
        let known = self.cursor();
        self.open(&known).await
    }

    /// Whether `error` of the reader says no more than that a topic was deleted,
    /// which the group will notice: the poll then goes on with the others.
    #[must_use]
    pub fn is_about_a_gone_topic(error: &BrokerError) -> bool {
        matches!(
            error,
            BrokerError::Engine(EngineError::TopicUnknown(_)) | BrokerError::CursorTopicGone(_)
        )
    }
}

/// Whether both are of the same partitions of the same topics.
fn same_partitions(one: &Cursor, other: &Cursor) -> bool {
    fn of(cursor: &Cursor) -> impl Iterator<Item = (&TopicName, Incarnation, PartitionId)> {
        let topics = cursor.topics.iter();
        topics.flat_map(|(name, topic)| {
            topic.partitions.keys().map(move |partition| (name, topic.incarnation, *partition))
        })
    }
    of(one).eq(of(other))
}
