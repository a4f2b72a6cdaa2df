//! Calls about consumer groups as a whole. A member is in `member`.

use super::{Client, ClientError, LIST_PAGE};
use crate::domain::GroupName;
use crate::wire::{GroupDetails, GroupInfo, GroupPage, ResetAnswer, ResetBody};
use reqwest::Method;

impl Client {
    /// Every group whose name begins with `prefix`, in order of name.
    pub async fn groups(&self, prefix: &str) -> Result<Vec<GroupInfo>, ClientError> {
        let mut groups = vec![];
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", LIST_PAGE)];
            if !prefix.is_empty() {
                query.push(("prefix", prefix));
            }
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let page: GroupPage = self.call(Method::GET, "/v1/groups", &query).await?;
            groups.extend(page.groups);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(groups),
            }
        }
    }

    /// A group's members, and how far it has come.
    pub async fn group(&self, group: &GroupName) -> Result<GroupDetails, ClientError> {
        self.call(Method::GET, &group_path(group), &[]).await
    }

    /// Moves a group without members, or tells what that would do.
    pub async fn reset_group(
        &self,
        group: &GroupName,
        to: &ResetBody,
    ) -> Result<ResetAnswer, ClientError> {
        let path = format!("{}/commits/reset", group_path(group));
        let response = self.send(self.request(Method::POST, &path, &[]).json(to)).await?;
        self.parsed(response).await
    }

    /// Deletes a group without members, and what it committed.
    pub async fn delete_group(&self, group: &GroupName) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &group_path(group), &[]);
        self.send(request).await.map(drop)
    }
}

fn group_path(group: &GroupName) -> String {
    // A group's name has no character that a path would have to escape.
    format!("/v1/groups/{group}")
}
