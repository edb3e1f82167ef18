//! The owner of a domain in requests: customer reference and labels, stored or filtered by.

use audit::Caller;
use domain::{Action, LabelChange, LabelError, MAX_LABELS, check_label, customer_ref_of};
use proto::v1;
use tonic::{Request, Response, Status};

use crate::error::bad_label;
use crate::service::{DomainsService, name};

/// What comes along with a name that is added: an empty reference says nothing.
pub(crate) fn of_added(customer_ref: &str, labels: Vec<v1::Label>) -> Result<LabelChange, Status> {
    let customer_ref = Some(customer_ref).filter(|text| !text.trim().is_empty());
    LabelChange::new(customer_ref, pairs(labels), []).map_err(bad_label)
}

/// The reference in a filter; none for all.
pub(crate) fn wanted_customer(customer_ref: &str) -> Result<Option<String>, Status> {
    let customer_ref = customer_ref_of(customer_ref).map_err(bad_label)?;
    Ok(Some(customer_ref).filter(|text| !text.is_empty()))
}

/// The labels in a filter.
pub(crate) fn wanted_labels(labels: &[v1::Label]) -> Result<Vec<(String, String)>, Status> {
    if labels.len() > MAX_LABELS {
        return Err(bad_label(LabelError::TooMany));
    }
    for label in labels {
        check_label(&label.key, &label.value).map_err(bad_label)?;
    }
    Ok(pairs(labels.to_vec()).collect())
}

fn pairs(labels: Vec<v1::Label>) -> impl Iterator<Item = (String, String)> {
    labels.into_iter().map(|label| (label.key, label.value))
}

impl DomainsService {
    pub(crate) async fn set_labels(
        &self,
        request: Request<v1::SetDomainLabelsRequest>,
    ) -> Result<Response<v1::SetDomainLabelsResponse>, Status> {
        let set = async |by: &Caller, asked: v1::SetDomainLabelsRequest| {
            let name = name(&asked.name)?;
            let customer_ref = asked.customer_ref.as_deref();
            let change = LabelChange::new(customer_ref, pairs(asked.labels), asked.remove_labels);
            let change = change.map_err(bad_label)?;
            let view = self.commands.set_labels(&name, &change, by).await?;
            Ok(Response::new(v1::SetDomainLabelsResponse { domain: Some(self.shown(&view)) }))
        };
        self.audited("SetDomainLabels", Action::Operate, request, |asked| &asked.name, set).await
    }
}
