//! Forgets groups that nobody was in for as long as they are kept, and commits
//! of topics that were deleted.

use super::{hub::Hub, state::Event};
use crate::engine::{EngineError, GroupError};
use std::{sync::Arc, time::Duration};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);

/// Looks now and then, until all work ends.
pub async fn keep(hub: Arc<Hub>) {
    loop {
        sweep(&hub).await;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = hub.stopped() => return,
        }
    }
}

/// Has each group forgotten whose time is over, and commits of topics that are
/// no more.
async fn sweep(hub: &Arc<Hub>) {
    for slot in hub.slots() {
        let shown = slot.shown();
        let over = shown.expires().is_some_and(|at| at <= hub.now().wall);
        let dead: Vec<_> =
            shown.commits.iter().filter(|commit| hub.is_dead(commit)).cloned().collect();
        let event = match () {
            () if over => Event::Forget,
            () if !dead.is_empty() => Event::Prune(dead),
            () => continue,
        };
        match hub.ask(&shown.name, event, false).await {
            Ok(()) if over => tracing::info!(group = %shown.name, "empty for long: forgotten"),
            Ok(()) | Err(GroupError::GroupUnknown(_)) => {}
            Err(GroupError::Engine(EngineError::Closed)) => return,
            Err(error) => {
                tracing::warn!(group = %shown.name, %error, "an old group was not forgotten");
            }
        }
    }
}
