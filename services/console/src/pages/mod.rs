//! The pages, a file each.

pub(crate) mod add;
pub(crate) mod batch;
pub(crate) mod bulk;
pub(crate) mod clock;
pub(crate) mod domain;
pub(crate) mod export;
pub(crate) mod help;
pub(crate) mod list;
pub(crate) mod oidc;
pub(crate) mod overview;
pub(crate) mod sign_in;
pub(crate) mod stay;

use crate::problem::Problem;

/// For an address that is none.
pub(crate) async fn no_page() -> Problem {
    Problem::no_page()
}
