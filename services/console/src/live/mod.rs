//! What keeps open pages up to date: one `WatchDomains` stream per process, fanned out to every viewer.
//!
//! The stream needs a token, and the console has none of its own: it is opened with that of somebody who has a page open,
//! and goes on with another viewer's when that one ends. The last changes are kept, so that a viewer who comes a moment
//! after the page was made, or again after a break, misses nothing; who was away for longer is told to load anew.
//! Why not a stream per viewer: five hundred viewers would cost the API five hundred times the same changes.

mod events;
mod hub;

pub(crate) use events::events;
pub(crate) use hub::{Change, Cursor, Heard, Hub};
