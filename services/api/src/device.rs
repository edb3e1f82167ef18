//! The browser's proof of an earlier successful sign-in, so that its next attempts are counted separately from those of
//! strangers (OWASP, "Slow down online guessing attacks with device cookies"). It says whose device it is, and opens
//! nothing.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{Clock, Entropy};
use jiff::{SignedDuration, Timestamp};
use seal::{SealingKeys, Statement};

const VALIDITY: SignedDuration = SignedDuration::from_hours(180 * 24);
/// Longest text that is looked at.
const MAX_TEXT: usize = 512;
const ID_BYTES: usize = 16;
const HEAD_BYTES: usize = ID_BYTES + size_of::<i64>();

/// Issues devices and knows them again.
pub(crate) struct Devices {
    pub(crate) keys: Arc<SealingKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

fn statement(name: &str, head: &[u8]) -> Statement {
    Statement::new("device").and(name.as_bytes()).and(head)
}

impl Devices {
    /// A new device of that person; empty if it cannot be signed now, which does not stop the sign-in.
    pub(crate) async fn issue(&self, name: &str) -> String {
        let mut id = [0; ID_BYTES];
        self.entropy.fill(&mut id);
        let until = (self.clock.now() + VALIDITY).as_second();
        let head = [&id, until.to_be_bytes().as_slice()].concat();
        match self.keys.sign(&statement(name, &head)).await {
            Ok(mac) => BASE64_URL_SAFE_NO_PAD.encode([head, mac].concat()),
            Err(error) => {
                tracing::warn!(%error, "a device was not signed");
                String::new()
            }
        }
    }

    /// The device's number as text, if it is one of that person and still good.
    pub(crate) async fn of(&self, name: &str, text: &str) -> Option<String> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, mac) = bytes.split_at_checked(HEAD_BYTES)?;
        self.keys.check(&statement(name, head), mac).await.ok()?;
        let (id, until) = head.split_at_checked(ID_BYTES)?;
        let until = Timestamp::from_second(i64::from_be_bytes(until.try_into().ok()?)).ok()?;
        (self.clock.now() < until).then(|| BASE64_URL_SAFE_NO_PAD.encode(id))
    }
}

#[cfg(test)]
mod tests {
    use runtime::SystemEntropy;
    use runtime::testing::ManualClock;

    use super::*;

    #[tokio::test]
    async fn a_device_is_one_persons_and_lasts_half_a_year() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let keys = SealingKeys::load_or_create(&folder.path().join("key")).unwrap();
        let devices =
            Devices { keys: Arc::new(keys), clock: clock.clone(), entropy: Arc::new(SystemEntropy) };
        let text = devices.issue("ann").await;
        let id = devices.of("ann", &text).await.unwrap();
        assert_ne!(devices.of("ann", &devices.issue("ann").await).await.unwrap(), id);
        let mut forged = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
        *forged.last_mut().unwrap() ^= 1;
        for bad in ["", "x", &"A".repeat(2000), &BASE64_URL_SAFE_NO_PAD.encode(forged)] {
            assert_eq!(devices.of("ann", bad).await, None, "{bad}");
        }
        assert_eq!(devices.of("bob", &text).await, None);
        clock.advance(VALIDITY - SignedDuration::from_secs(1));
        assert_eq!(devices.of("ann", &text).await, Some(id));
        clock.advance(SignedDuration::from_secs(1));
        assert_eq!(devices.of("ann", &text).await, None);
    }
}
