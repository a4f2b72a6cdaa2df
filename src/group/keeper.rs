//! Forgets groups that nobody was in for as long as they are kept.

use super::{hub::Hub, state::Event};
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

/// Has each group forgotten whose time is over.
async fn sweep(hub: &Arc<Hub>) {
    for slot in hub.slots() {
        let shown = slot.shown();
        let over = shown.expires().is_some_and(|at| at <= hub.now().wall);
        if !over || hub.is_stopped() {
            continue;
        }
        match hub.ask(&shown.name, Event::Forget, false).await {
            Ok(()) => {
                tracing::info!(group = %shown.name, "nobody was in the group for long: forgotten")
            }
            Err(error) => {
                tracing::warn!(group = %shown.name, %error, "the group was not forgotten")
            }
        }
    }
}
