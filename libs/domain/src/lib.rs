//! The rules of SSL Manager, without any I/O: names, facts, statuses, reasons, transitions, ids and the clock.
//!
//! All other crates depend on this one and it depends on none of them, so a rule can be read and tested in one place.
//! Time and randomness come in as parameters ([`Clock`], [`Entropy`]); nothing here sleeps or reads a clock.

pub mod budget;
mod caa;
mod certificate;
mod clock;
mod dns;
mod domain;
mod edges;
mod event;
mod foreign;
mod history;
mod https;
mod ids;
mod job;
mod labels;
mod midnight;
mod missing;
mod name;
mod note;
mod notice;
mod order;
mod pause;
mod reason;
mod renewal;
mod retry;
mod revocation;
mod role;
pub mod sentence;
mod status;
mod upload;
mod work;

pub use self::domain::{Domain, InvalidChallenges, InvalidTransition};
pub use caa::{CaaFound, CaaRecord};
pub use certificate::{CertificateSummary, Source, Trust};
pub use clock::{Clock, Entropy};
pub use dns::{DnsRecord, Found, RecordKind};
pub use edges::{EdgeBehind, EdgesBehind};
pub use event::{Delivery, Event, EventKind};
pub use foreign::{is_unfit, one_line, printable, spreadsheet_cell};
pub use history::{HistoryEntry, HistoryKind};
pub use https::{HttpsSwitch, SWITCHED_ON};
pub use ids::{AccountId, CertificateId, EndpointId, EventId, JobId, NoteId, OrderId};
pub use job::{JobKind, JobParameters, JobState, LineOutcome};
pub use labels::{
    LabelChange, LabelError, MAX_LABELS, check_label, customer_ref_of, label_changes, parse_label,
};
pub use midnight::MidnightOutcome;
pub use missing::Missing;
pub use name::{DomainName, NameError, host_of, spelled};
pub use note::{MAX_NOTES, NoteError, note_text};
pub use notice::{DeliveryState, EndpointState, NoticeKind, Noticed, WebhookFormat, noticed};
pub use order::{Order, OrderKey, OrderState};
pub use pause::{Closed, Gate, Outbound, Pause};
pub use reason::{Reason, Who, refused_setting, who_must_act};
pub use renewal::{PreExpiry, SuggestedWindow, renewal_point};
pub use retry::Retry;
pub use revocation::{RevocationReason, RevocationState};
pub use role::{Action, Role, Roles};
pub use status::{Activity, Facts, Live, Status};
pub use upload::AheadAtC4;
pub use work::{Cause, Lease, Work, WorkKind};
