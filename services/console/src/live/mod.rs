//! Updates open pages: one `WatchDomains` stream per process, fanned out to every viewer.
//!
//! The stream needs a token, and the console has none of its own: it is opened with a viewer's token, and continues
//! with another viewer's when that one ends. The last changes are kept, so that a viewer who connects a moment after
//! the page was rendered, or again after a break, misses nothing; after a longer break the page reloads. Why not a
//! stream per viewer: five hundred viewers would cost the API five hundred times the same changes.

mod change;
mod events;
mod hub;

pub(crate) use change::Change;
pub(crate) use events::events;
pub(crate) use hub::{Cursor, Hub, Subscription};
