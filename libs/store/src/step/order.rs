//! What a step writes of an order: its row, what it costs of its CA's limits, its challenge, its certificate.

use domain::budget::Limits;
use domain::{DomainName, Order, OrderId};

use crate::{Certificate, Challenge, ProbeOf, Result, Tx};

/// A write about an order of the lease's name.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderWrite {
    /// An order's row, before its CA hears of it.
    Insert(Box<Order>),
    /// An order as it is from now on, where it was in that state; its key is erased if it is not live any more.
    Update(Box<Order>, &'static str),
    /// What an order reserved of its CA's limits is given back.
    GiveBack(OrderId),
    /// What an order reserved counts as spent, because its CA may have issued.
    SpendLater(OrderId),
    /// What an order reserved is spent: its CA has issued.
    Spend(OrderId, LedgerOf),
    /// A failed authorization is spent.
    SpendFailure(LedgerOf),
    /// A challenge response for the responders to give.
    PutChallenge(Challenge),
    /// An order's challenge responses go.
    DropChallenges(OrderId),
    /// What the rehearsal of the name's challenge path has to find: token and answer.
    PutProbe(String, String),
    /// The name's probe goes.
    DropProbe,
    /// A certificate that a CA delivered for that order, whose key it gets.
    InsertIssued(Box<Certificate>, OrderId),
}

/// Whose limits a write spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOf {
    /// Our name for the CA.
    pub issuer: String,
    /// What it allows.
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
