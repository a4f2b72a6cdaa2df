//! Calls for members that another gateway serves, by the client that the
//! command line speaks with too.

use crate::{
    client::{ClientError, Relay},
    http::{Forward, ForwardedAnswer, ForwardedCall},
};
use async_trait::async_trait;

/// The way to other gateways.
pub(super) struct OtherGateways(Relay);

impl OtherGateways {
    pub(super) fn new() -> Result<OtherGateways, ClientError> {
        Relay::new().map(OtherGateways)
    }
}

#[async_trait]
impl Forward for OtherGateways {
    async fn forward(&self, address: &str, call: ForwardedCall) -> Result<ForwardedAnswer, String> {
        let ForwardedCall { method, target, headers, body } = call;
        let answer = self.0.pass(address, (method, &target), headers, body).await;
        let (status, headers, body) = answer.map_err(|error| error.to_string())?;
        Ok(ForwardedAnswer { status, headers, body })
    }
}
