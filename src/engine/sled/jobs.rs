//! What the writer is asked, and its answers on their way back.

use super::{
    commit::{Reply, ReplyTo},
    state::Change,
};
use crate::engine::{Append, Appended, EngineError};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

/// Answers on their way to those who wait for them. They go in one piece to a
/// task of the runtime, which hands them out: one wake-up from this thread for
/// a commit, not one for every request of it.
pub(super) type Answers = Vec<(Reply, Option<EngineError>)>;

/// Hands answers out, until the writer is gone.
pub(super) async fn hand_out(mut answers: UnboundedReceiver<Answers>) {
    while let Some(some) = answers.recv().await {
        some.into_iter().for_each(|(reply, error)| reply.send(error.as_ref()));
    }
}

/// What the writer is asked to do.
pub(super) enum Job {
    Append(Append, ReplyTo<Appended>),
    Put(Vec<Change>, ReplyTo<()>),
    /// Sync all that came before.
    Barrier(ReplyTo<()>),
    /// See whether the active volume still takes writes, and drop this when
    /// that is known, and it was opened anew where it does not.
    Probe(oneshot::Sender<()>),
    /// Sync, answer, and end.
    Stop,
}

impl Job {
    /// Packed bytes that it brings, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Job::Append(append, _) => append.parts.iter().map(|(_, r)| r.body().len()).sum(),
            Job::Put(changes, _) => changes
                .iter()
                .map(|c| c.key.len() + c.entry.as_ref().map_or(0, |e| e.value.len()))
                .sum(),
            Job::Barrier(_) | Job::Probe(_) | Job::Stop => 0,
        }
    }

    /// Answers that nothing was done.
    pub(super) fn refuse(self, error: &EngineError) {
        match self {
            Job::Append(_, reply) => drop(reply.send(Err(error.clone()))),
            Job::Put(_, reply) | Job::Barrier(reply) => drop(reply.send(Err(error.clone()))),
            Job::Probe(_) | Job::Stop => {}
        }
    }
}
