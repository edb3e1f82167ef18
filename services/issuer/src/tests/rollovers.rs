//! Tests of a key rollover of the account while issuers use it, with crashes in between.

use std::sync::Arc;

use acme::{Ca, roll_over};
use domain::{DomainName, WorkKind};
use jiff::SignedDuration;
use runtime::Job;
use sandbox::{Endpoint, ValidationResult};
use seal::SealingKeys;
use store::AuditEntry;

use super::kit::{Kit, name};
use crate::{IssuerRole, ca};

const LEASE: SignedDuration = SignedDuration::from_secs(30);

struct Operator {
    ca: Ca,
    keys: Arc<SealingKeys>,
}

impl Kit {
    fn operator(&self) -> Operator {
        let context = &self.role.context;
        Operator {
            ca: ca(&context.config.acme.issuers[0], &context.clock).unwrap(),
            keys: context.sealing_keys.clone().unwrap(),
        }
    }

    /// Runs the rollover like the command.
    pub(super) async fn roll_over(&self) -> Result<(), acme::AcmeError> {
        let operator = self.operator();
        let line = AuditEntry {
            at: self.now(),
            actor: "command:test".to_owned(),
            peer: "local".to_owned(),
            call: "RolloverAccount".to_owned(),
            subject: "sandbox".to_owned(),
            outcome: "OK".to_owned(),
            detail: String::new(),
            request_id: String::new(),
        };
        roll_over(&operator.ca, &self.store, &operator.keys, &line).await
    }

    /// The account's present and next key.
    async fn account_keys(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let account = self.store.accounts().await.unwrap().remove(0);
        let keys = self.operator().keys;
        let own = acme::open_key(&account, &account.sealed_key, &keys).await.unwrap().to_vec();
        let pending = match &account.pending_key {
            Some(sealed) => Some(acme::open_key(&account, sealed, &keys).await.unwrap().to_vec()),
            None => None,
        };
        (own, pending)
    }

    async fn run_at(&self, role: &IssuerRole, name: &DomainName) {
        let due_at = self.work(name).await.unwrap().due_at.unwrap();
        self.clock.advance(due_at.duration_since(self.now()).max(SignedDuration::ZERO));
        let claim = self.store.claim(WorkKind::Issue, name, self.now() + LEASE);
        let lease = claim.await.unwrap().unwrap();
        role.perform(&lease).await.unwrap();
    }

    async fn is_issued(&self, name: &DomainName) -> bool {
        let work = self.store.work(name).await.unwrap();
        work.iter().any(|work| work.kind == WorkKind::Upload)
    }
}

#[tokio::test]
async fn orders_under_way_and_every_copy_survive_a_rollover() {
    let kit = Kit::new().await;
    let other = IssuerRole::new(kit.role.context.clone()).unwrap();
    let [first, second, third] = ["a", "b", "c"].map(name);
    for name in [&first, &second] {
        kit.ca().validation_result(name.as_str(), ValidationResult::Never);
        kit.add(name).await;
    }
    kit.run_at(&kit.role, &first).await;
    kit.run_at(&other, &second).await;
    assert!(!kit.is_issued(&first).await && !kit.is_issued(&second).await);
    let answer = async |name| kit.store.challenges(name).await.unwrap().remove(0).key_authorization;
    let before = answer(&first).await;
    let (old, _) = kit.account_keys().await;

    kit.roll_over().await.unwrap();
    let (new, pending) = kit.account_keys().await;
    assert!(new != old && pending.is_none());
    // The CA has not decided yet: both copies poll with the keys they have in memory.
    kit.run_at(&kit.role, &first).await;
    let after = answer(&first).await;
    assert_ne!(before, after, "the answer has the thumbprint of the new key");
    assert_eq!(before.split('.').next(), after.split('.').next(), "to the same token");
    for name in [&first, &second] {
        kit.ca().validation_result(name.as_str(), ValidationResult::Valid);
    }
    kit.run_at(&kit.role, &first).await;
    kit.run_at(&other, &second).await;
    assert!(kit.is_issued(&first).await && kit.is_issued(&second).await);
    assert_eq!(kit.ca().orders_placed(), 2, "nothing was ordered twice");
    kit.add(&third).await;
    kit.run_at(&other, &third).await;
    assert!(kit.is_issued(&third).await);
}

#[tokio::test]
async fn whoever_dies_before_the_ca_knows_the_next_run_tells_it() {
    let kit = Kit::new().await;
    kit.certified(&name("shop")).await;
    let (old, _) = kit.account_keys().await;
    kit.ca().drop_request(Endpoint::KeyChange);
    assert!(kit.roll_over().await.is_err());
    let (own, proposed) = kit.account_keys().await;
    assert!(own == old && proposed.is_some());
    // Until then the CA knows the old key.
    let other = name("other");
    kit.add(&other).await;
    kit.run_at(&kit.role, &other).await;
    assert!(kit.is_issued(&other).await);
    kit.roll_over().await.unwrap();
    let (own, pending) = kit.account_keys().await;
    assert!(Some(own) == proposed && pending.is_none(), "the key that was stored first");
    kit.roll_over().await.unwrap();
}

#[tokio::test]
async fn whoever_dies_after_the_ca_knows_the_next_run_believes_it() {
    let kit = Kit::new().await;
    kit.certified(&name("shop")).await;
    kit.ca().drop_answer(Endpoint::KeyChange);
    assert!(kit.roll_over().await.is_err());
    let (old, proposed) = kit.account_keys().await;
    assert!(proposed.is_some());
    kit.roll_over().await.unwrap();
    let (own, pending) = kit.account_keys().await;
    assert!(own != old && Some(own) == proposed && pending.is_none());
}

#[tokio::test]
async fn an_issuer_finishes_what_the_command_left() {
    let kit = Kit::new().await;
    kit.certified(&name("shop")).await;
    kit.ca().drop_answer(Endpoint::KeyChange);
    assert!(kit.roll_over().await.is_err());
    let (_, proposed) = kit.account_keys().await;
    let other = name("other");
    kit.add(&other).await;
    kit.run_at(&kit.role, &other).await;
    assert!(kit.is_issued(&other).await);
    let (own, pending) = kit.account_keys().await;
    assert!(Some(own) == proposed && pending.is_none());
}
