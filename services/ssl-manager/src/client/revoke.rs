//! `domain revoke`: nothing brings a revoked certificate back, so it asks first.

use domain::RevocationReason;
use proto::v1;
use serde_json::json;
use tonic::Request;

use super::{Client, answer, show};
use crate::cli::{Output, RevokeArgs};
use crate::dispatch::CommandError;
use crate::output::print_done;

pub(super) async fn run(client: &mut Client, args: &RevokeArgs, output: Output) -> Result<(), CommandError> {
    let request = v1::RevokeCertificateRequest {
        name: args.name.clone(),
        sha256: args.sha256.clone().unwrap_or_default(),
        reason: number(args.reason).into(),
    };
    let revoking = answer(client.revoke_certificate(Request::new(request)).await)?;
    match revoking.domain {
        Some(domain) => show::print_domain(output, &domain),
        // The name is off the list.
        None => print_done(
            output,
            format_args!("{}: the certificate {} is being revoked.", args.name, revoking.sha256),
            &json!({ "name": args.name, "sha256": revoking.sha256 }),
        ),
    }
}

fn number(reason: RevocationReason) -> v1::RevocationReason {
    match reason {
        RevocationReason::KeyCompromise => v1::RevocationReason::KeyCompromise,
        RevocationReason::AffiliationChanged => v1::RevocationReason::AffiliationChanged,
        RevocationReason::Superseded => v1::RevocationReason::Superseded,
        RevocationReason::CessationOfOperation => v1::RevocationReason::CessationOfOperation,
    }
}
