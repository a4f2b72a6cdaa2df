//! How far a group has come, by partition: a sorted list, since ten thousand
//! groups have one entry each as a rule.

use crate::{
    domain::{PartitionId, TopicName},
    engine::GroupCommit,
};

/// The commits of one group, in the order of topics and partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commits(Vec<GroupCommit>);

impl Commits {
    /// The commit of a partition, of whichever topic of that name.
    #[must_use]
    pub fn get(&self, topic: &TopicName, partition: PartitionId) -> Option<&GroupCommit> {
        self.find(topic, partition).ok().map(|at| &self.0[at])
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, GroupCommit> {
        self.0.iter()
    }

    /// Takes a commit unless it lies behind the one that stands, by epoch and
    /// then offset. One for another topic of the same name always counts: the
    /// caller knows which one there is now.
    pub fn advance(&mut self, commit: GroupCommit) {
        let place = |c: &GroupCommit| (c.position.epoch, c.position.next);
        match self.find(&commit.topic, commit.partition) {
            Ok(at) => {
                let stands = &mut self.0[at];
                if stands.incarnation != commit.incarnation || place(&commit) >= place(stands) {
                    *stands = commit;
                }
            }
            Err(at) => self.0.insert(at, commit),
        }
    }

    /// Takes a commit, also one that lies behind.
    pub fn set(&mut self, commit: GroupCommit) {
        match self.find(&commit.topic, commit.partition) {
            Ok(at) => self.0[at] = commit,
            Err(at) => self.0.insert(at, commit),
        }
    }

    /// Forgets those for which `keep` says no.
    pub fn retain(&mut self, keep: impl FnMut(&GroupCommit) -> bool) {
        self.0.retain(keep);
        self.0.shrink_to_fit();
    }

    fn find(&self, topic: &TopicName, partition: PartitionId) -> Result<usize, usize> {
        // Commits are read from the store in order: the end is looked at first.
        let wanted = (topic, partition);
        match self.0.last() {
            Some(last) if (&last.topic, last.partition) < wanted => Err(self.0.len()),
            _ => self.0.binary_search_by(|c| (&c.topic, c.partition).cmp(&wanted)),
        }
    }
}
