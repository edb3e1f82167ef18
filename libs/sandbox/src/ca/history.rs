//! The history of a name's orders, so that a test can tell whether each of them was needed.
//!
//! Why noted at new-order: later it is unknown whether the previous order had ended by then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::header::LOCATION;
use jiff::Timestamp;

use super::control::CaControl;
use super::orders::{Order, OrderStatus};
use super::state::State;
use crate::serve::Reply;
use crate::sync::lock;

/// An order that the CA took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    /// Its name.
    pub name: String,
    /// When it was placed, by the CA's clock.
    pub at: Timestamp,
    /// The order for the same name before it.
    pub before: OrderBefore,
}

/// The state of an order when the next one for its name was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderBefore {
    /// There was none.
    None,
    /// The CA had ended it without a certificate: its challenge or its issuance failed, it expired, or it was forgotten.
    Ended,
    /// It could be gone on with.
    Open {
        /// The client was given its URL, or could find it in the account's list.
        is_known: bool,
    },
    /// There was a certificate.
    Issued {
        /// Its begin.
        not_before: Timestamp,
        /// Its end.
        not_after: Timestamp,
        /// When the window of ARI begins that the client was told last.
        window_start: Option<Timestamp>,
    },
}

#[derive(Default)]
pub(super) struct History {
    newest: Mutex<HashMap<String, Arc<Order>>>,
    placed: Mutex<Vec<PlacedOrder>>,
}

impl CaControl {
    /// Every order that was placed, in the order of arrival; one with several names counts for each.
    pub fn placed_orders(&self) -> Vec<PlacedOrder> {
        lock(&self.0.history.placed).clone()
    }
}

impl History {
    pub(super) fn placed(&self, state: &State, order: &Arc<Order>, names: &[String], at: Timestamp) {
        for name in names {
            let earlier = lock(&self.newest).insert(name.clone(), order.clone());
            let before = earlier.map_or(OrderBefore::None, |earlier| became(state, &earlier));
            lock(&self.placed).push(PlacedOrder { name: name.clone(), at, before });
        }
    }
}

fn became(state: &State, order: &Order) -> OrderBefore {
    match order.status(state) {
        OrderStatus::Valid(certificate) => OrderBefore::Issued {
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            window_start: certificate.told_window_start(),
        },
        OrderStatus::Invalid(_) => OrderBefore::Ended,
        _ if state.orders.get(&order.id).is_none() || order.has_failed_authorization(state) => {
            OrderBefore::Ended
        }
        _ => OrderBefore::Open { is_known: order.is_answered() || state.odd.lists_orders() },
    }
}

/// The answer to a new-order is on its way to the client.
pub(super) fn answered(state: &State, answer: &Reply) {
    let url = answer.headers().get(LOCATION).and_then(|url| url.to_str().ok());
    let id = url.and_then(|url| url.rsplit('/').next()).and_then(|id| id.parse().ok());
    if let Some(order) = id.and_then(|id: u64| state.orders.get(&id)) {
        order.note_answered();
    }
}
