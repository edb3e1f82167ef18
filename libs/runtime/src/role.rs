//! The roles.

/// A role of its own process, or one of `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// The gRPC API.
    Api,
    /// Preflight, orders, private keys.
    Issuer,
    /// Answers HTTP-01.
    ChallengeResponder,
    /// Everything that has to do with time.
    Scheduler,
    /// Hands certificates to C4.
    C4Uploader,
    /// The support team's page.
    Console,
    /// Webhooks.
    Notifier,
}

impl RoleName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Api,
        Self::Issuer,
        Self::ChallengeResponder,
        Self::Scheduler,
        Self::C4Uploader,
        Self::Console,
        Self::Notifier,
    ];

    /// The sub-command.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Issuer => "issuer",
            Self::ChallengeResponder => "challenge-responder",
            Self::Scheduler => "scheduler",
            Self::C4Uploader => "c4-uploader",
            Self::Console => "console",
            Self::Notifier => "notifier",
        }
    }

    /// Whether it seals or unseals private keys.
    pub fn holds_sealing_keys(self) -> bool {
        matches!(self, Self::Api | Self::Issuer | Self::C4Uploader)
    }

    /// Whether it changes domains and publishes that; the role that faces the internet does not, nor the one that has no
    /// store, nor the one that only tells of what others did.
    pub fn writes(self) -> bool {
        self.uses_bus() && self != Self::ChallengeResponder
    }

    /// Whether it hears or sends hints.
    pub fn uses_bus(self) -> bool {
        !matches!(self, Self::Console | Self::Notifier)
    }

    /// The database role of `deploy/postgres/roles.sql` whose rights it needs.
    pub fn database_role(self) -> Option<&'static str> {
        Some(match self {
            Self::Api => "ssl_manager_api",
            Self::Issuer => "ssl_manager_issuer",
            Self::ChallengeResponder => "ssl_manager_responder",
            Self::Scheduler => "ssl_manager_scheduler",
            Self::C4Uploader => "ssl_manager_uploader",
            Self::Notifier => "ssl_manager_notifier",
            Self::Console => return None,
        })
    }

    /// Whether it is of use while store and bus are away: a responder answers what it has seen.
    pub fn serves_from_memory(self) -> bool {
        self == Self::ChallengeResponder
    }

    /// Whether it works on the store at all; the page is a client of the API like any other.
    pub fn needs_store(self) -> bool {
        self != Self::Console
    }
}
