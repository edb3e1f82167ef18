//! Writes of a step about an order: its row, its charges to the CA's limits, its challenge, its certificate.

use domain::budget::Limits;
use domain::{DomainName, Order, OrderId};

use crate::{Certificate, Challenge, ProbeOf, Result, Tx};

/// A write about an order of the lease's name.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderWrite {
    /// Inserts an order's row, before the request to the CA.
    Insert(Box<Order>),
    /// Updates an order that was in the given state; its key is erased once the order is not live any more.
    Update(Box<Order>, &'static str),
    /// Releases the order's reservations in the CA's limits.
    GiveBack(OrderId),
    /// Counts the order's reservations as spent, because the CA may have issued.
    SpendLater(OrderId),
    /// Spends the order's reservations: the CA has issued.
    Spend(OrderId, LedgerOf),
    /// Spends a failed authorization.
    SpendFailure(LedgerOf),
    /// Stores a challenge response for the responders.
    PutChallenge(Challenge),
    /// Deletes an order's challenge responses.
    DropChallenges(OrderId),
    /// Stores the probe for the rehearsal of the name's challenge path: token and answer.
    PutProbe(String, String),
    /// Deletes the name's probe.
    DropProbe,
    /// Inserts the certificate that a CA delivered for the order; it gets the order's key.
    InsertIssued(Box<Certificate>, OrderId),
}

/// The CA whose limits a write is charged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOf {
    /// Our name for the CA.
    pub issuer: String,
    /// Its limits.
    pub limits: Limits,
}

impl Tx {
    pub(super) async fn put_of_order(&mut self, name: &DomainName, write: &OrderWrite) -> Result<()> {
        match write {
            OrderWrite::Insert(order) => self.insert_order(order).await,
            OrderWrite::Update(order, from) => self.update_order(order, from).await,
            OrderWrite::GiveBack(order) => self.give_back(*order).await,
            OrderWrite::SpendLater(order) => self.spend_later(*order).await,
            OrderWrite::Spend(order, LedgerOf { issuer, limits }) => {
                self.spend_reserved(*order, name, issuer, limits, self.now()).await
            }
            OrderWrite::SpendFailure(LedgerOf { issuer, limits }) => {
                self.charge_failure(name, issuer, limits, self.now()).await
            }
            OrderWrite::PutChallenge(challenge) => self.put_challenge(challenge).await,
            OrderWrite::DropChallenges(order) => self.drop_challenges(*order).await,
            OrderWrite::PutProbe(token, answer) => self.put_probe(name, ProbeOf::Order, token, answer).await,
            OrderWrite::DropProbe => self.drop_probe(name, ProbeOf::Order).await,
            OrderWrite::InsertIssued(certificate, order) => self.insert_issued(certificate, *order).await,
        }
    }
}
