//! A coordinator that keeps no groups: for whoever has a log and needs no more.

use super::{
    Assignment, Committer, Coordinator, EngineError, GroupCommit, GroupDescription, GroupError,
    GroupSummary, JoinRequest, Lease, MemberRef,
};
use crate::domain::GroupName;
use async_trait::async_trait;

/// Refuses every call.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGroups;

fn refused() -> GroupError {
    EngineError::Refused("there are no groups here".to_owned()).into()
}

#[async_trait]
impl Coordinator for NoGroups {
    async fn join(&self, _: JoinRequest) -> Result<Lease, GroupError> {
        Err(refused())
    }

    async fn renew(&self, _: &MemberRef) -> Result<Lease, GroupError> {
        Err(refused())
    }

    async fn changed(&self, _: &MemberRef, _: u64) -> Result<Lease, GroupError> {
        Err(refused())
    }

    async fn release(&self, _: &MemberRef, _: &Assignment) -> Result<Lease, GroupError> {
        Err(refused())
    }

    async fn leave(&self, _: &MemberRef) -> Result<(), GroupError> {
        Err(refused())
    }

    async fn commit(
        &self,
        _: &GroupName,
        _: Committer,
        _: Vec<GroupCommit>,
    ) -> Result<(), GroupError> {
        Err(refused())
    }

    async fn committed(
        &self,
        _: &GroupName,
        _: &Assignment,
    ) -> Result<Vec<GroupCommit>, GroupError> {
        Err(refused())
    }

    async fn list(&self) -> Result<Vec<GroupSummary>, GroupError> {
        Ok(vec![])
    }

    async fn describe(&self, group: &GroupName) -> Result<GroupDescription, GroupError> {
        Err(GroupError::GroupUnknown(group.clone()))
    }

    async fn reset(&self, _: &GroupName, _: Vec<GroupCommit>) -> Result<(), GroupError> {
        Err(refused())
    }

    async fn delete(&self, group: &GroupName) -> Result<(), GroupError> {
        Err(GroupError::GroupUnknown(group.clone()))
    }

    async fn close(&self) {}
}
