//! Supervised tasks: each has a name, a kind that says what its end means, and
//! an owner that joins it.

use futures_util::FutureExt;
use parking_lot::Mutex;
use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// What the end of a task means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// The gateway cannot do without it: when it panics, the gateway stops.
    Vital,
    /// Serves one client or one piece of work: a panic is its own affair.
    Worker,
}

/// A [`TaskKind::Vital`] task panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task '{0}' panicked")]
pub struct TaskFailed(pub &'static str);

/// A set of tasks with one owner; clones share it.
#[derive(Clone)]
pub struct Tasks(Arc<Inner>);

struct Inner {
    set: Mutex<JoinSet<()>>,
    failed: watch::Sender<Option<TaskFailed>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Tasks(Arc::new(Inner { set: Mutex::new(JoinSet::new()), failed: watch::Sender::new(None) }))
    }
}

impl Tasks {
    /// Starts a task. It is joined by [`Tasks::join`].
    pub fn spawn<F>(&self, name: &'static str, kind: TaskKind, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let failed = self.0.failed.clone();
        let watched = async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = name, ?kind, "a task panicked");
                if kind == TaskKind::Vital {
                    failed.send_replace(Some(TaskFailed(name)));
                }
            }
        };
        let mut set = self.0.set.lock();
        // Those that ended since the last call are let go of here, so that the
        // set does not grow with every connection there ever was.
        while set.try_join_next().is_some() {}
        set.spawn(watched);
    }

    /// How many are running, or have just ended.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut set = self.0.set.lock();
        while set.try_join_next().is_some() {}
        set.len()
    }

    /// Whether none is running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until a vital task has failed; for ever if none does.
    pub async fn failed(&self) -> TaskFailed {
        let mut failed = self.0.failed.subscribe();
        // The sender lives in `self`, so the wait cannot end without a value.
        let seen = failed.wait_for(Option::is_some).await.ok().and_then(|f| *f);
        match seen {
            Some(failed) => failed,
            None => std::future::pending().await,
        }
    }

    /// Waits for all tasks until `deadline`, those that they start meanwhile
    /// too; then aborts the rest and waits for that. Returns how many had to
    /// be aborted.
    pub async fn join(&self, deadline: Instant) -> usize {
        loop {
            let mut set = std::mem::take(&mut *self.0.set.lock());
            if set.is_empty() {
                return 0;
            }
            let all = async { while set.join_next().await.is_some() {} };
            if tokio::time::timeout_at(deadline, all).await.is_err() {
                let late = std::mem::take(&mut *self.0.set.lock());
                let left = set.len() + late.len();
                for mut set in [set, late] {
                    set.shutdown().await;
                }
                return left;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn joining_waits_for_what_ends_and_aborts_what_does_not() {
        let tasks = Tasks::default();
        tasks.spawn("short", TaskKind::Worker, tokio::time::sleep(Duration::from_millis(10)));
        assert_eq!(tasks.join(soon()).await, 0);
        tasks.spawn("endless", TaskKind::Worker, std::future::pending());
        assert_eq!(tasks.join(soon()).await, 1);
        assert!(tasks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn joining_waits_for_tasks_that_tasks_start() {
        let tasks = Tasks::default();
        let (inner, done) = (tasks.clone(), Arc::new(Mutex::new(false)));
        let flag = Arc::clone(&done);
        tasks.spawn("outer", TaskKind::Worker, async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            inner.spawn("inner", TaskKind::Worker, async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                *flag.lock() = true;
            });
        });
        assert_eq!(tasks.join(soon()).await, 0);
        assert!(*done.lock());
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_vital_tasks_panic_is_everyones_affair() {
        let tasks = Tasks::default();
        tasks.spawn("client", TaskKind::Worker, async { panic!("expected by the test") });
        assert!(tokio::time::timeout(Duration::from_secs(1), tasks.failed()).await.is_err());
        tasks.spawn("heart", TaskKind::Vital, async { panic!("expected by the test") });
        assert_eq!(tasks.failed().await, TaskFailed("heart"));
    }
}
