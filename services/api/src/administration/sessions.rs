//! Sessions of people.

use proto::{to_timestamp, v1};
use store::{SessionRecord, StoreError};
use tonic::{Code, Status};

use super::{AdministrationService, Administrator, words_of};
use crate::error::{error, from_store, invalid};
use crate::page;
use crate::service::page_size;

const DEFAULT_PAGE: u32 = 100;
/// Sorts before every hash.
const FIRST: [u8; 32] = [0; 32];
/// Number of sessions read at once.
const BATCH: u32 = 1000;

impl AdministrationService {
    pub(super) async fn sessions(
        &self,
        by: &Administrator,
        asked: &v1::ListSessionsRequest,
    ) -> Result<v1::ListSessionsResponse, Status> {
        let limit = page_size(asked.page_size, DEFAULT_PAGE)?;
        let filter = format!("sessions {}", asked.user);
        let after = match asked.page_token.as_str() {
            "" => FIRST,
            token => {
                page::unbind(&filter, token).and_then(|place| place.try_into().ok()).ok_or_else(|| {
                    let sentence = "send a next_page_token of the same person, or none for the first page";
                    invalid("PAGE_TOKEN_INVALID", sentence)
                })?
            }
        };
        let (sessions, next) = self.lasting(&asked.user, after, limit).await?;
        self.note(by, &asked.user, "").await?;
        let own = by.session.as_ref().map(|session| session.hash);
        Ok(v1::ListSessionsResponse {
            sessions: sessions.iter().map(|session| shown(session, own)).collect(),
            next_page_token: next.map(|hash| page::bind(&filter, &hash)).unwrap_or_default(),
        })
    }

    /// Unexpired sessions after the given one, of `user` or of all if that is empty; and where the next page begins.
    async fn lasting(
        &self,
        user: &str,
        after: [u8; 32],
        limit: u32,
    ) -> Result<(Vec<SessionRecord>, Option<[u8; 32]>), Status> {
        let store = &self.context.store;
        let stored = match user {
            "" => store.sessions(&after, limit).await,
            user => store.sessions_of(user, &after, limit).await,
        };
        let stored = stored.map_err(|problem| from_store(&problem))?;
        let next = stored.last().filter(|_| stored.len() == limit as usize).map(|last| last.session.hash);
        let (mut lasting, now) = (Vec::new(), self.now());
        for stored in stored {
            let session = self.authenticator.believer.session(Some(stored)).await?;
            lasting.extend(session.filter(|session| self.authenticator.lasts(session, now)));
        }
        Ok((lasting, next))
    }

    /// Returns every unexpired session.
    pub(super) async fn all_sessions(&self) -> Result<Vec<SessionRecord>, Status> {
        let (mut all, mut after) = (Vec::new(), Some(FIRST));
        while let Some(place) = after {
            let (sessions, next) = self.lasting("", place, BATCH).await?;
            all.extend(sessions);
            after = next;
        }
        Ok(all)
    }

    pub(super) async fn end(
        &self,
        by: &Administrator,
        asked: &v1::EndSessionRequest,
    ) -> Result<v1::EndSessionResponse, Status> {
        let ended = match (asked.id.as_str(), asked.user.as_str()) {
            ("", "") => Err(ask_for_one()),
            ("", user) => self.end_all(by, user).await.map_err(|problem| from_store(&problem)),
            (id, "") => self.end_one(by, id).await,
            _ => Err(ask_for_one()),
        };
        Ok(v1::EndSessionResponse { ended: ended? })
    }

    async fn end_one(&self, by: &Administrator, id: &str) -> Result<u32, Status> {
        let hash: Option<[u8; 32]> = hex::decode(id).ok().and_then(|bytes| bytes.try_into().ok());
        let hash = hash.ok_or_else(ask_for_one)?;
        let ended: Result<bool, StoreError> = async {
            let Some(stored) = self.context.store.session(&hash).await? else { return Ok(false) };
            let mut tx = self.context.store.begin("end_session").await?;
            let ended = tx.end_session(&hash).await?;
            tx.append_audit(by.caller.line(self.now(), &stored.session.user, audit::OK, &id[..8]));
            tx.commit().await?;
            Ok(ended)
        }
        .await;
        if ended.map_err(|problem| from_store(&problem))? {
            return Ok(1);
        }
        Err(error(Code::NotFound, "SESSION_NOT_FOUND", "there is no such session: it has ended already"))
    }

    async fn end_all(&self, by: &Administrator, user: &str) -> Result<u32, StoreError> {
        let mut tx = self.context.store.begin("end_sessions").await?;
        let ended = tx.end_sessions(user).await?;
        tx.append_audit(by.caller.line(self.now(), user, audit::OK, &format!("all: {ended}")));
        tx.commit().await?;
        Ok(u32::try_from(ended).unwrap_or(u32::MAX))
    }
}

fn ask_for_one() -> Status {
    let sentence = "send the id of a session as ListSessions shows it, or the name of a person, not both";
    invalid("SESSION_INVALID", sentence)
}

fn shown(session: &SessionRecord, own: Option<[u8; 32]>) -> v1::UserSession {
    v1::UserSession {
        id: hex::encode(session.hash),
        user: session.user.clone(),
        roles: words_of(session.roles),
        created_at: Some(to_timestamp(session.created_at)),
        used_at: Some(to_timestamp(session.used_at)),
        expires_at: Some(to_timestamp(session.expires_at)),
        is_own: own == Some(session.hash),
    }
}
