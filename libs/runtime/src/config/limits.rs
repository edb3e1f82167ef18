//! The limits of a CA, as the settings name them or give them in numbers.

use domain::budget::{Limit, Limits};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::AcmeIssuer;

/// A CA's limits, by a name or in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IssuerLimits {
    /// `auto`, `letsencrypt`, `letsencrypt-staging` or `none`.
    Named(String),
    /// Numbers; what is left out has no limit.
    Numbers(LimitNumbers),
}

/// `limits = { … }` of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitNumbers {
    /// New orders of one account.
    pub new_orders: Option<LimitNumber>,
    /// Certificates of one registered domain.
    pub certificates_per_registered_domain: Option<LimitNumber>,
    /// Certificates of exactly the same names.
    pub certificates_per_names: Option<LimitNumber>,
    /// Failed authorizations of one name and account.
    pub failed_authorizations: Option<LimitNumber>,
}

/// So many in so many hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitNumber {
    /// How many.
    pub count: u32,
    /// In how many hours.
    pub hours: u32,
}

impl AcmeIssuer {
    /// The limits of this CA; `auto` goes by the directory's host.
    pub fn ca_limits(&self) -> Limits {
        let host = self.directory_url.trim_start_matches("https://");
        let host = host.split(['/', ':']).next().unwrap_or(host);
        let named = match &self.limits {
            IssuerLimits::Named(name) => name.as_str(),
            IssuerLimits::Numbers(numbers) => return numbers.limits(),
        };
        match (named, host) {
            ("letsencrypt", _) | ("auto", "acme-v02.api.letsencrypt.org") => Limits::LETS_ENCRYPT,
            ("letsencrypt-staging", _) | ("auto", "acme-staging-v02.api.letsencrypt.org") => {
                Limits::LETS_ENCRYPT_STAGING
            }
            _ => Limits::default(),
        }
    }
}

impl LimitNumbers {
    fn limits(&self) -> Limits {
        let limit = |number: &Option<LimitNumber>| {
            number.as_ref().map(|number| Limit {
                count: number.count,
                period: SignedDuration::from_hours(number.hours.into()),
            })
        };
        Limits {
            new_orders: limit(&self.new_orders),
            certificates_per_registered_domain: limit(&self.certificates_per_registered_domain),
            certificates_per_names: limit(&self.certificates_per_names),
            failed_authorizations: limit(&self.failed_authorizations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_go_by_the_directory_unless_they_are_named() {
        let of = |directory_url: &str, limits: &str| {
            let limits = IssuerLimits::Named(limits.to_owned());
            AcmeIssuer { directory_url: directory_url.to_owned(), limits, ..AcmeIssuer::default() }
                .ca_limits()
        };
        let real = "https://acme-v02.api.letsencrypt.org/directory";
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        assert_eq!(of(real, "auto"), Limits::LETS_ENCRYPT);
        assert_eq!(of(staging, "auto"), Limits::LETS_ENCRYPT_STAGING);
        assert_eq!(of("https://ca.example/directory", "auto"), Limits::default());
        assert_eq!(of("https://ca.example/directory", "letsencrypt"), Limits::LETS_ENCRYPT);
        assert_eq!(of(real, "none"), Limits::default());
        let numbers =
            LimitNumbers { new_orders: Some(LimitNumber { count: 7, hours: 3 }), ..LimitNumbers::default() };
        let own = AcmeIssuer { limits: IssuerLimits::Numbers(numbers), ..AcmeIssuer::default() }.ca_limits();
        let new_orders = Limit { count: 7, period: SignedDuration::from_hours(3) };
        assert_eq!((own.new_orders, own.failed_authorizations), (Some(new_orders), None));
    }
}
