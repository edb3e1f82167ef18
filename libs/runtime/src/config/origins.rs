//! Where settings come from.

use std::collections::BTreeMap;

/// The file or the environment variable of each setting that is not a default, by its key. Any two are equal: settings are
/// compared by their values.
#[derive(Clone, Debug, Default)]
pub struct Origins(pub(super) BTreeMap<String, String>);

impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
