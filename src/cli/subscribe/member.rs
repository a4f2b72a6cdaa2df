//! `tidegate subscribe --group`: what a member of a group is handed, shown and
//! then committed.

use super::{SubscribeArgs, told};
use crate::cli::{CliError, interruptible, read::Shown};
use crate::client::{JoinRequest, MemberItem, MemberReader};
use crate::domain::{GroupName, StartAt, StartPolicy};
use crate::wire::Partitions;

/// Shows records until there are enough, an error, Ctrl-C, or the output is
/// closed; then commits what was shown, and leaves.
pub(super) async fn run(args: &SubscribeArgs, group: &GroupName) -> Result<(), CliError> {
    let mut reader = args.server.client()?.join(JoinRequest {
        group: group.clone(),
        topics: args.topics.clone(),
        from: policy(args.from)?,
        member: args.member_id.clone(),
        session_timeout: args.session_timeout,
    });
    let work = async {
        let mut shown = Shown::new(args.format, args.topics.len() > 1);
        let result = follow(&mut reader, &mut shown, args).await;
        // What came before an error is shown before it is told, and counts.
        shown.flush()?;
        if matches!(result, Ok(()) | Err(CliError::Client(_))) {
            reader.done();
        }
        result
    };
    let result = interruptible(work).await;
    // Who presses Ctrl-C again does not wait for it.
    let left = interruptible(async { reader.leave().await.map_err(CliError::from) }).await;
    result.and(left)
}

fn policy(from: Option<StartAt>) -> Result<StartPolicy, CliError> {
    match from {
        None | Some(StartAt::Earliest) => Ok(StartPolicy::Earliest),
        Some(StartAt::Latest) => Ok(StartPolicy::Latest),
        Some(_) => Err(CliError::Usage(
            "with --group, --from is earliest or latest: a group goes on from what it committed; \
             `tidegate group reset` moves it"
                .to_owned(),
        )),
    }
}

async fn follow(
    reader: &mut MemberReader,
    shown: &mut Shown<'_>,
    args: &SubscribeArgs,
) -> Result<(), CliError> {
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let item = match reader.next_ready() {
            Some(item) => item,
            None => {
                // Nothing waits: what was written is for the reader to see, and
                // then it is done.
                shown.flush()?;
                reader.done();
                reader.next().await?
            }
        };
        if let MemberItem::Record(line) = item {
            shown.record(&line)?;
            left -= 1;
            continue;
        }
        if let Some(said) = said(item).filter(|_| !args.quiet) {
            shown.flush()?;
            eprintln!("# {said}");
        }
    }
    Ok(())
}

/// What is said of an item that is no record.
fn said(item: MemberItem) -> Option<String> {
    match item {
        MemberItem::Record(_) => None,
        MemberItem::Joined(member, generation) => {
            Some(format!("member {member}, generation {generation}"))
        }
        MemberItem::Assigned(all) if all.is_empty() => {
            Some("holds nothing: there are as many members as partitions".to_owned())
        }
        MemberItem::Assigned(all) => Some(format!("holds {}", listed(&all))),
        MemberItem::Revoking(some) => Some(format!("gives away {}", listed(&some))),
        MemberItem::Revoked(some) => Some(format!("has given away {}", listed(&some))),
        MemberItem::Waiting(some) => {
            Some(format!("nothing comes of {} until something is committed", listed(&some)))
        }
        MemberItem::Expired => Some("was away for too long; joining again".to_owned()),
        MemberItem::NotCommitted(why) => Some(format!("not committed: {why}")),
        MemberItem::Live(item) => told(item),
    }
}

/// Partitions in short: `orders/0,2 invoices/1`.
fn listed(partitions: &Partitions) -> String {
    let topic = |(name, ids): (&String, &Vec<u32>)| {
        let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
        format!("{name}/{}", ids.join(","))
    };
    partitions.iter().map(topic).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_begins_at_an_end_where_it_has_no_commit() {
        assert_eq!(policy(None).unwrap(), StartPolicy::Earliest);
        assert_eq!(policy(Some(StartAt::Latest)).unwrap(), StartPolicy::Latest);
        assert!(matches!(policy(Some(StartAt::Last(3))), Err(CliError::Usage(_))));
    }

    #[test]
    fn what_a_member_holds_is_said_in_short() {
        let all = Partitions::from([("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![1])]);
        assert_eq!(said(MemberItem::Assigned(all)).unwrap(), "holds a/0,2 b/1");
        assert!(said(MemberItem::Assigned(Partitions::new())).unwrap().contains("nothing"));
    }
}
