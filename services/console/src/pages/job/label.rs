//! The form that says what a job of labels changes.

use proto::v1;

use crate::form::Form;
use crate::pages::domain::labels;

/// What was typed into the form of a job that labels.
#[derive(Default)]
pub(super) struct TypedLabels {
    pub(super) customer: String,
    pub(super) no_customer: bool,
    /// `KEY=VALUE`, one a line.
    pub(super) set: String,
    /// Keys, one a line.
    pub(super) remove: String,
}

impl TypedLabels {
    pub(super) fn of(form: &Form) -> Self {
        Self {
            customer: form.get("customer").trim().to_owned(),
            no_customer: form.is_set("no_customer"),
            set: form.get("labels").to_owned(),
            remove: form.get("remove").to_owned(),
        }
    }

    /// The change that a job of labels starts with, or what is wrong with a line.
    pub(super) fn put(&self, request: &mut v1::StartJobRequest) -> Result<(), String> {
        request.labels = labels::parsed(&self.set)?;
        request.remove_labels = self.remove.split_whitespace().map(str::to_owned).collect();
        request.customer_ref = match self.customer.as_str() {
            _ if self.no_customer => Some(String::new()),
            "" => None,
            customer => Some(customer.to_owned()),
        };
        Ok(())
    }
}
