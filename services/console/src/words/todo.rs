//! The next steps of the support team for a domain, by its status and reason.

use proto::v1;

/// The next steps.
pub(crate) struct ToDo {
    pub(crate) steps: Vec<&'static str>,
    /// Whether one of them changes the domain, which not every role may do.
    pub(crate) operates: bool,
}

impl ToDo {
    fn acts(steps: &[&'static str]) -> Self {
        Self { steps: steps.to_vec(), operates: true }
    }

    fn waits(steps: &[&'static str]) -> Self {
        Self { steps: steps.to_vec(), operates: false }
    }
}

/// The next steps for a domain.
pub(crate) fn to_do(domain: &v1::Domain) -> ToDo {
    match &domain.reason {
        Some(reason) => about(&reason.code, &reason.who),
        None => at(domain),
    }
}

fn about(code: &str, who: &str) -> ToDo {
    match code {
        "port_missing" => ToDo::acts(&[
            "Send the message below to the customer: the switch is in the CDN dashboard.",
            "Recheck once it is on. It is also checked again automatically.",
        ]),
        "pasted_ends" | "pasted_ended" | "pasted_lost" => ToDo::acts(&[
            "Send the message below to the customer.",
            "Paste the new certificate when it comes, or switch to a generated certificate.",
        ]),
        "unknown_to_c4" => ToDo::acts(&[
            "Create the domain in the CDN dashboard, then Recheck.",
            "If the customer has left, delete the domain here.",
        ]),
        "upload_failed" => ToDo::acts(&[
            "Read C4's answer below. Recheck uploads again now.",
            "If C4 refuses again, send the message below to the CDN operator.",
        ]),
        "not_served" => ToDo::acts(&[
            "Tell the CDN operator the names of the edges that lag.",
            "Recheck asks the edges again.",
        ]),
        "order_rejected" | "certificate_rejected" => ToDo::acts(&[
            "Read the certificate authority's answer below.",
            "Recheck orders again. If it is refused again, tell an administrator.",
        ]),
        "issuer_refuses_us" => ToDo::waits(&[
            "Tell an administrator: the certificate authority refuses our account, so every domain waits. Its words are below.",
        ]),
        "paused_by_ca" => ToDo::acts(&[
            "An administrator must open the address below and lift the pause.",
            "Recheck after that.",
        ]),
        "paused_by_operator" => {
            ToDo::waits(&["Nothing. It continues within seconds once an administrator lifts the pause."])
        }
        "restore_guard" => ToDo::acts(&[
            "An administrator runs `ssl-manager restore check`, and then `restore accept` if it shows what is expected.",
            "Without that it continues by itself once every domain has been compared with C4.",
        ]),
        "ca_limited" | "ca_down" | "could_not_ask" => {
            ToDo::waits(&["Nothing. It continues automatically, and this page shows when."])
        }
        _ if who == "customer" => ToDo::acts(&[
            "Send the message below to the customer.",
            "Recheck once the customer says that it is done. It is also checked again automatically.",
        ]),
        _ if who == "cdn_operator" => ToDo::acts(&[
            "Send the message below to the CDN operator.",
            "Recheck once it is fixed. It is also checked again automatically.",
        ]),
        _ => ToDo::waits(&["Nothing. It continues automatically."]),
    }
}

fn at(domain: &v1::Domain) -> ToDo {
    match domain.status() {
        v1::Status::Success if domain.source() == v1::Source::Text => ToDo::waits(&[
            "Nothing now. A pasted certificate is not renewed: from 30 days before its end the customer must send a new one.",
        ]),
        v1::Status::Success => ToDo::waits(&["Nothing. The certificate renews by itself."]),
        v1::Status::Emergency => ToDo::acts(&["Recheck uploads again now."]),
        v1::Status::Discard => about("unknown_to_c4", ""),
        v1::Status::Expired if domain.source() == v1::Source::Text => about("pasted_ended", ""),
        v1::Status::Expired | v1::Status::Failure => ToDo::acts(&["Recheck starts the next order now."]),
        v1::Status::Pending | v1::Status::Unspecified => {
            ToDo::waits(&["Nothing. It continues automatically, and this page shows the progress."])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_something_to_read_for_every_status_and_reason() {
        for code in domain::Reason::CODES {
            let who = domain::who_must_act(code).map_or("", domain::Who::as_str);
            let to_do = about(code, who);
            assert!(!to_do.steps.is_empty(), "{code}");
            assert!(
                who != "customer" || to_do.steps[0].contains("the customer"),
                "{code}: {:?}",
                to_do.steps
            );
        }
        for status in 0..=6 {
            let domain = v1::Domain { status, ..v1::Domain::default() };
            assert!(!to_do(&domain).steps.is_empty(), "{status}");
        }
    }
}
