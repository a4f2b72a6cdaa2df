//! Bodies about groups: joining, polling, releasing, committing, resetting.

use super::{
    As, Problem,
    code::ErrorCode,
    fields_of_groups::{given_offset, member_id, partition, topics},
    json,
    params::parse_time,
    topics::TimeText,
};
use crate::{
    broker_words::*,
    domain::Cursor,
};
