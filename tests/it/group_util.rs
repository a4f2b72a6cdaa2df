//! A member of a group as a careful client of the REST interface has it.

use crate::util::{Gateway, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longer than any hand-over of a test, milliseconds.
pub const LONG: u64 = 20_000;

/// One member, with what it was last told.
pub struct Member {
    pub group: String,
    pub id: String,
    pub generation: u64,
    pub cursor: Option<String>,
}

impl Member {
    /// Joins with the topics of `body` and what else is in it.
    pub async fn join(gateway: &Gateway, group: &str, body: Value) -> Member {
        let reply = join(gateway, group, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let lease = reply.value();
        Member {
            group: group.to_owned(),
            id: lease["member_id"].as_str().unwrap().to_owned(),
            generation: lease["generation"].as_u64().unwrap(),
            cursor: None,
        }
    }

    /// Joins to read topic `t`, under this id.
    pub async fn of_t(gateway: &Gateway, id: &str) -> Member {
        Member::join(gateway, "g", json!({"topics": ["t"], "member_id": id})).await
    }

    pub fn path(&self, call: &str) -> String {
        format!("/v1/groups/{}/members/{}{call}", self.group, self.id)
    }

    /// A poll's raw answer; nothing is taken note of.
    pub async fn poll_raw(&self, gateway: &Gateway, wait_ms: u64) -> Reply {
        let mut body = json!({"wait_ms": wait_ms});
        if let Some(cursor) = &self.cursor {
            body["cursor"] = json!(cursor);
        }
        gateway.json(Method::POST, &self.path("/poll"), &body).await
    }

    /// Polls, and goes on from its cursor the next time.
    pub async fn poll(&mut self, gateway: &Gateway, wait_ms: u64) -> Value {
        let reply = self.poll_raw(gateway, wait_ms).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let page = reply.value();
        self.generation = page["generation"].as_u64().unwrap();
        self.cursor = Some(page["cursor"].as_str().unwrap().to_owned());
        page
    }

    /// Polls until `enough` of what it was answered.
    pub async fn poll_until(
        &mut self,
        gateway: &Gateway,
        mut enough: impl FnMut(&Value) -> bool,
    ) -> Value {
        for _ in 0..100 {
            let page = self.poll(gateway, LONG).await;
            if enough(&page) {
                return page;
            }
        }
        panic!("{} never got there", self.id);
    }

    /// Polls, and lets go of what is taken away, until it holds `partitions` of
    /// `t` and nothing is being revoked.
    pub async fn settle(&mut self, gateway: &Gateway, partitions: usize) -> Value {
        for _ in 0..100 {
            let page = self.poll(gateway, LONG).await;
            if revoking(&page) > 0 {
                self.release(gateway).await;
            } else if held(&page) == partitions {
                return page;
            }
        }
        panic!("{} never held {partitions}", self.id);
    }

    pub async fn release(&self, gateway: &Gateway) -> Value {
        let reply = gateway.send(gateway.request(Method::POST, &self.path("/release"))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.value()
    }

    pub async fn leave(&self, gateway: &Gateway) -> Reply {
        gateway.send(gateway.request(Method::DELETE, &self.path(""))).await
    }

    /// Commits (partition, offset) of `t`.
    pub async fn commit(&self, gateway: &Gateway, offsets: &[(u64, u64)]) -> Reply {
        let body = json!({
            "member_id": self.id, "generation": self.generation, "commits": entries(offsets)
        });
        commit(gateway, &self.group, &body).await
    }
}

pub fn entries(offsets: &[(u64, u64)]) -> Value {
    let entry = |(p, o): &(u64, u64)| json!({"topic": "t", "partition": p, "offset": o});
    offsets.iter().map(entry).collect()
}

pub async fn join(gateway: &Gateway, group: &str, body: &Value) -> Reply {
    gateway.json(Method::POST, &format!("/v1/groups/{group}/members"), body).await
}

pub async fn commit(gateway: &Gateway, group: &str, body: &Value) -> Reply {
    gateway.json(Method::POST, &format!("/v1/groups/{group}/commits"), body).await
}

pub async fn reset(gateway: &Gateway, group: &str, body: &Value) -> Reply {
    gateway.json(Method::POST, &format!("/v1/groups/{group}/commits/reset"), body).await
}

fn count(page: &Value, what: &str) -> usize {
    page[what].as_object().unwrap().values().map(|of| of.as_array().unwrap().len()).sum()
}

/// How many partitions the member holds.
pub fn held(page: &Value) -> usize {
    count(page, "assignment")
}

/// How many it has to let go of.
pub fn revoking(page: &Value) -> usize {
    count(page, "revoking")
}

/// The offsets of a page's records, by partition.
pub fn offsets(page: &Value) -> BTreeMap<u64, Vec<u64>> {
    let mut offsets: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for record in page["records"].as_array().unwrap() {
        assert_eq!(record["topic"], "t");
        let of = offsets.entry(record["partition"].as_u64().unwrap()).or_default();
        of.push(record["offset"].as_u64().unwrap());
    }
    offsets
}

/// Publishes `count` records to one partition of `t`.
pub async fn fill(gateway: &Gateway, partition: u64, count: u64) {
    let record = |n| json!({"partition": partition, "value": n});
    gateway.publish("t", (0..count).map(record).collect()).await;
}

/// What the group has committed in `t`, by partition.
pub async fn committed(gateway: &Gateway, group: &str) -> BTreeMap<u64, u64> {
    let list = gateway.page(&format!("/v1/groups/{group}/commits")).await;
    let of = list["commits"].as_array().unwrap().iter();
    of.map(|c| (c["partition"].as_u64().unwrap(), c["offset"].as_u64().unwrap())).collect()
}
